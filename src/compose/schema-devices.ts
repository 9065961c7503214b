import {
  bytes,
  closed,
  integerFrom,
  labels,
  object,
  refused,
  runsOnly,
  text,
  textList,
} from './attribute.ts';
import type { Attribute } from './attribute.ts';
import { cdiName } from './cdi-name.ts';
import { patterned } from './schema-parts.ts';

/** What a service asks of the hardware of a host (Compose Deploy specification, "devices"; "gpus"; "blkio_config"). */

function deviceRequest(required: string[]): Attribute {
  return object(
    {
      capabilities: { ...textList, says: 'a list of capabilities, such as [gpu]' },
      driver: {
        ...runsOnly({ ...text, says: 'the name of a driver, such as nvidia' }, 'nvidia or cdi', {
          enum: ['nvidia', 'cdi'],
        }),
        cluster: 'cdi: device_ids are full names, vendor.com/class=name',
      },
      count: {
        type: 'integer',
        form: 'deviceCount',
        minimum: -1,
        says: 'a whole number, or all (which is -1)',
        cluster: 'so many of nvidia.com/gpu must be on the host; they are not kept for the replica alone',
      },
      device_ids: {
        ...textList,
        form: 'wholeTexts',
        says: 'a list of devices',
        cluster: 'those called nvidia.com/gpu=ID',
      },
      options: refused(labels, 'the hosts’ device specifications decide; leave it out'),
    },
    { form: 'deviceRequest', required },
  );
}

function deviceRequests(required: string[], says: string): Attribute {
  const cluster =
    'the hosts need device specifications (nvidia-ctk cdi generate writes them); a replica goes only to a host that has the devices';
  return { type: 'array', items: deviceRequest(required), merge: 'append', says, cluster };
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

const devicePattern = `^(?:/.*|${cdiName})$`;

export const device: Attribute = object(
  {
    source: {
      ...patterned(devicePattern, 'the absolute path of a device on the hosts, or vendor.com/class=name'),
      cluster:
        'a device by its full name is one that the hosts’ specifications in /etc/cdi and /var/run/cdi describe: a replica goes only to a host that has it',
    },
    target: patterned(devicePattern, 'an absolute path in the container'),
    permissions: patterned('^(?!.*(.).*\\1)[rwm]{1,3}$', 'some of r, w and m'),
  },
  { required: ['source'] },
);

const devicePath: Attribute = {
  ...runsOnly({ ...text, says: 'the path of a block device, such as /dev/sda' }, 'an absolute path', {
    pattern: '^/',
  }),
};
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

export const blkioConfig: Attribute = {
  ...closed({
    weight: { ...weight, cluster: 'only on hosts whose kernel has weights (BFQ)' },
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
  }),
  cluster:
    'the devices are those of the host that a replica is on; one that lacks them refuses it: keep the service to those that have them by a placement constraint',
};
