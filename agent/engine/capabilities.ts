import { capabilityNames } from '../../src/spec/capabilities.ts';
import type { ContainerSettings } from '../../src/spec/settings.ts';

const names = capabilityNames.map((name) => `CAP_${name}`);

/** Docker's default set (docs.docker.com, "Runtime privilege and Linux capabilities"). */
const defaults = new Set(
  `CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE`
    .split(' ')
    .map((name) => `CAP_${name}`),
);

/**
 * The capabilities that a container's root has, as Docker reckons: with `ALL` added everything but what is dropped, with
 * `ALL` dropped what is added, otherwise the default set without the dropped and with the added. `ALL` is what this host
 * has to give.
 */
export function capabilitiesOf(settings: ContainerSettings, host: readonly string[]): string[] {
  const known = names.filter((name) => host.includes(name));
  if (settings.privileged) return known;
  const add = new Set((settings.capabilitiesAdd ?? []).map(fullName));
  const drop = new Set((settings.capabilitiesDrop ?? []).map(fullName));
  if (add.has('CAP_ALL')) return known.filter((name) => !drop.has(name));
  return names.filter((name) => {
    if (add.has(name)) return true;
    return defaults.has(name) && !drop.has(name) && !drop.has('CAP_ALL');
  });
}

/** The names in a mask of /proc/PID/status (proc(5)), `000001ffffffffff`. */
export function capabilitiesIn(mask: string): string[] {
  const bits = BigInt(`0x${mask}`);
  return names.filter((_, number) => ((bits >> BigInt(number)) & 1n) === 1n);
}

function fullName(text: string): string {
  const name = text.toUpperCase();
  return name.startsWith('CAP_') ? name : `CAP_${name}`;
}
