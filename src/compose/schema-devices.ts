import { bytes, closed, integerFrom, labels, object, text, textList } from './attribute.ts';
import type { Attribute } from './attribute.ts';

/** What a service asks of the hardware of a host (Compose Deploy specification, "devices"; "gpus"; "blkio_config"). */

function deviceRequest(required: string[]): Attribute {
  return object(
    {
      capabilities: { ...textList, says: 'a list of capabilities, such as [gpu]' },
      driver: { ...text, says: 'the name of a driver, such as nvidia' },
      count: {
        type: 'integer',
        form: 'deviceCount',
        minimum: -1,
        says: 'a whole number, or all (which is -1)',
      },
      device_ids: { ...textList, form: 'exposed', says: 'a list of devices' },
      options: labels,
    },
    { form: 'deviceRequest', required },
  );
}

function deviceRequests(required: string[], says: string): Attribute {
  return { type: 'array', items: deviceRequest(required), merge: 'append', says };
}

export const reservedDevices = deviceRequests(['capabilities'], 'a list of maps with capabilities');

export const gpus: Attribute = {
  ...deviceRequests([], 'all, or a list of maps with count or device_ids'),
  form: 'gpus',
};

export const genericResources: Attribute = {
  type: 'array',
  items: object({
    discrete_resource_spec: object({
      kind: { ...text, says: 'the name of a resource' },
      value: { ...integerFrom(0), says: 'how many of them, 0 or more' },
    }),
  }),
  merge: 'append',
  says: 'a list of maps with discrete_resource_spec',
};

const devicePath: Attribute = { ...text, says: 'the path of a block device, such as /dev/sda' };
const weight: Attribute = integerFrom(10, 1000);

function throttles(rate: Attribute): Attribute {
  return {
    type: 'array',
    items: closed({ path: devicePath, rate }, { required: ['path', 'rate'] }),
    merge: 'append',
    says: 'a list of maps with path and rate',
  };
}

/** Rates of bytes and of operations are written alike, as compose-go reads them. */
const rates = throttles({ ...bytes, says: 'a number a second, such as 1000 or 10mb' });

export const blkioConfig: Attribute = closed({
  weight,
  weight_device: {
    type: 'array',
    items: closed({ path: devicePath, weight }, { required: ['path', 'weight'] }),
    merge: 'append',
    says: 'a list of maps with path and weight',
  },
  device_read_bps: rates,
  device_read_iops: rates,
  device_write_bps: rates,
  device_write_iops: rates,
});
