/** The pattern of `vendor.com/class=name`, the full name of a device (Container Device Interface). */
export const cdiName = '[a-zA-Z][a-zA-Z0-9_.-]*/[a-zA-Z][a-zA-Z0-9_.-]*=[a-zA-Z0-9][a-zA-Z0-9_.:-]*';

const whole = new RegExp(`^${cdiName}$`, 'u');

/** Whether this is the full name of a device that the hosts' own specifications describe. */
export function isCdiName(name: string): boolean {
  return whole.test(name);
}
