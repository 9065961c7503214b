import { object, oneOf, refused, textList, type Attribute } from './attribute.ts';

/** `vendor.com/class=name` (Container Device Interface). */
const cdiName = '[a-zA-Z][a-zA-Z0-9_.-]*/[a-zA-Z][a-zA-Z0-9_.-]*=[a-zA-Z0-9][a-zA-Z0-9_.:-]*';
const cdiPattern = new RegExp(`^${cdiName}$`, 'u');

/** Whether this is the full name of a device that the hosts' own specifications describe. */
export function isCdiName(text: string): boolean {
  return cdiPattern.test(text);
}

const cdiCluster =
  'a device by its full name is one that the hosts’ specifications in /etc/cdi and /var/run/cdi describe: a replica goes only to a host that has it';

export const device: Attribute = object(
  {
    source: {
      type: 'string',
      pattern: `^(?:/.*|${cdiName})$`,
      says: 'the absolute path of a device on the hosts, or vendor.com/class=name',
      cluster: cdiCluster,
    },
    target: { type: 'string', pattern: `^(?:/.*|${cdiName})$`, says: 'an absolute path in the container' },
    permissions: { type: 'string', pattern: '^(?!.*(.).*\\1)[rwm]{1,3}$', says: 'some of r, w and m' },
  },
  { required: ['source'] },
);

/** Devices asked for by what they can do, how many, or by name. */
export function deviceRequests(more: Partial<Attribute>): Attribute {
  return {
    type: 'array',
    items: object(
      {
        capabilities: {
          ...textList,
          minItems: 1,
          says: 'a list of capabilities with gpu, unless the driver is cdi',
        },
        driver: {
          ...oneOf('nvidia', 'cdi'),
          cluster: 'cdi: device_ids are full names, vendor.com/class=name',
        },
        count: {
          type: 'string',
          form: 'numericText',
          pattern: '^(?:all|-1|[1-9]\\d{0,2})$',
          says: 'a number of devices, or all',
          cluster: 'so many of nvidia.com/gpu must be on the host; they are not kept for the replica alone',
        },
        device_ids: { ...textList, minItems: 1, says: 'a list of devices', cluster: 'nvidia.com/gpu=ID' },
        ...refused({ options: 'the hosts’ device specifications decide; leave it out' }),
      },
      more.required === undefined ? {} : { required: more.required },
    ),
    merge: 'append',
    says: 'a list of maps with capabilities, and count or device_ids',
    cluster:
      'the hosts need device specifications (nvidia-ctk cdi generate writes them); a replica goes only to a host that has the devices',
    ...(more.form === undefined
      ? {}
      : { form: more.form, says: 'all, or a list of maps with count or device_ids' }),
  };
}
