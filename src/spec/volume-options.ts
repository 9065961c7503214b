import type { VolumeDriverOptions } from './resource.ts';

/** Each option of `o`, without those that are empty. */
export function optionList(o = ''): string[] {
  return o.split(',').filter((option) => option !== '');
}

/** Whether a folder of the host is mounted. */
export function isBind({ o }: VolumeDriverOptions): boolean {
  return optionList(o).some((option) => option === 'bind' || option === 'rbind');
}

/**
 * Why a volume with these options cannot be mounted on a host, and which of them is to blame; undefined when it can be
 * tried.
 */
export function driverOptionsFault(
  options: VolumeDriverOptions,
): { at: string[]; why: string; hint: string } | undefined {
  const { type, device } = options;
  for (const [name, value] of Object.entries(options)) {
    const odd = value === '' || value.startsWith('-') || /[\0\n\r]/u.test(value);
    if (odd) return { at: [name], why: `${JSON.stringify(value)} cannot be mounted`, hint: 'see mount(8)' };
  }
  if (isBind(options) && !device.startsWith('/')) {
    return {
      at: ['device'],
      why: `${JSON.stringify(device)} is relative, and the volume may be used on any host of the cluster`,
      hint: 'write an absolute path that exists on the hosts',
    };
  }
  if (type !== undefined || isBind(options)) return undefined;
  return { at: [], why: 'the file system is missing', hint: 'add type: nfs, type: tmpfs or the like' };
}
