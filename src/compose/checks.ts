import { ShoalError } from '../util/errors.ts';
import { isIP, isIPv4 } from 'node:net';
import { parseSubnet, type Subnet } from '../spec/address.ts';
import { capabilityNames } from '../spec/capabilities.ts';
import { parseTmpfs } from './mounts.ts';
import { isEveryAddress } from './ports.ts';
import { parseBytes, parseDuration, parseFileMode } from './values.ts';

/** Checks of values that JSON Schema cannot say; named by the schema's keyword `is`. */
export type CheckName = keyof typeof checks;

const portMax = 65_535;

const signals = new Set(
  `HUP INT QUIT ILL TRAP ABRT IOT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CLD CONT STOP TSTP TTIN TTOU URG
  XCPU XFSZ VTALRM PROF WINCH IO POLL PWR SYS`.split(/\s+/u),
);

const domain = String.raw`(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::\d{1,5})?\/)`;
const component = String.raw`[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`;
const imageReference = new RegExp(
  `^${domain}?${component}(?:\\/${component})*(?::\\w[\\w.-]{0,127})?(?:@[a-zA-Z][a-zA-Z0-9]*:[0-9a-fA-F]{32,})?$`,
  'u',
);
const imageReferenceCharactersMax = 512;

/** The checks by name. Values of another type than a check is for pass: the schema's `type` speaks of those. */
export const checks = {
  duration: onText(isDuration),
  bytes: onText((text) => (parseBytes(text) ?? -1) >= 0),
  fileMode: onText((text) => parseFileMode(text) !== undefined),
  subnet: onText((text) => readSubnet(text) !== undefined),
  absolutePath: onText((text) => text.startsWith('/') && !/\p{Cc}/u.test(text)),
  fileName: onText((text) => text !== '' && !/\p{Cc}/u.test(text)),
  imageReference: onText((text) => text.length <= imageReferenceCharactersMax && imageReference.test(text)),
  published: onText(isPublished),
  tmpfs: onText((text) => parseTmpfs(text) !== undefined),
  restart: onText((text) => /^(?:no|always|unless-stopped|on-failure(?::\d{1,6})?)$/u.test(text)),
  signal: onText(isSignal),
  healthcheckTest: isHealthcheckTest,
  address: onText((text) => isIP(text) !== 0),
  ipv4Address: onText((text) => isIPv4(text)),
  mtu: onText((text) => /^\d{2,5}$/u.test(text) && Number(text) >= 68 && Number(text) <= 65_535),
  hostAddress: onText((text) => isIPv4(text) || isEveryAddress(text)),
  addressRange: onText(isAddressRange),
  extraHost: onText(isExtraHost),
  capability: onText(isCapability),
  pullPolicy: onText(isPullPolicy),
  bytesOrNone: onText((text) => (parseBytes(text) ?? -2) >= -1),
  true: (value: unknown) => value !== false,
  false: (value: unknown) => value !== true,
};

function onText(check: (text: string) => boolean): (value: unknown) => boolean {
  return (value) => typeof value !== 'string' || check(value);
}

/** Longer ones are a slip of the finger; the manager takes none. */
const durationNanosecondsMax = 365n * 24n * 3_600_000_000_000n;

function isDuration(text: string): boolean {
  if (/^[0-9]{1,6}m?s$/u.test(text)) return true; // nearly all of them
  const nanoseconds = parseDuration(text) ?? -1n;
  return nanoseconds >= 0n && nanoseconds <= durationNanosecondsMax;
}

function isExtraHost(text: string): boolean {
  const [, address = ''] = /^[a-zA-Z0-9_](?:[a-zA-Z0-9_.-]{0,251}[a-zA-Z0-9_])?=(.+)$/u.exec(text) ?? [];
  return address === 'host-gateway' || isIP(address) !== 0;
}

function isCapability(text: string): boolean {
  const name = text.toUpperCase().replace(/^CAP_/u, '');
  return name === 'ALL' || capabilityNames.includes(name);
}

function isPullPolicy(text: string): boolean {
  const [, interval] = /^every_(.+)$/u.exec(text) ?? [];
  if (interval !== undefined)
    return /^[\dwdhms]+$/u.test(interval) && isDuration(interval) && parseDuration(interval)! > 0n;
  return /^(?:always|never|missing|if_not_present|daily|weekly|refresh|build)$/u.test(text);
}

/** `ADDRESS/PREFIX` of either version. */
function isAddressRange(text: string): boolean {
  const [, address = '', prefix = ''] = /^([^/]+)\/(\d{1,3})$/u.exec(text) ?? [];
  const version = isIP(address);
  return version !== 0 && Number(prefix) <= (version === 4 ? 32 : 128);
}

/** An IPv4 subnet; undefined for anything else. */
export function readSubnet(text: string): Subnet | undefined {
  try {
    return parseSubnet(text);
  } catch (error) {
    if (error instanceof ShoalError) return undefined;
    throw error;
  }
}

function isPublished(text: string): boolean {
  const [, first, last] = /^(\d{1,5})(?:-(\d{1,5}))?$/u.exec(text) ?? [];
  if (first === undefined || Number(first) > portMax) return false;
  return last === undefined || (Number(last) >= Number(first) && Number(last) <= portMax);
}

function isSignal(text: string): boolean {
  if (/^\d{1,2}$/u.test(text)) return Number(text) >= 1 && Number(text) <= 64;
  const name = text.toUpperCase().replace(/^SIG/u, '');
  return signals.has(name) || /^RTMIN(?:\+(?:[1-9]|1[0-5]))?$|^RTMAX(?:-(?:[1-9]|1[0-4]))?$/u.test(name);
}

function isHealthcheckTest(value: unknown): boolean {
  if (!Array.isArray(value) || value.length === 0) return true;
  const [kind] = value as unknown[];
  if (kind === 'NONE') return value.length === 1;
  if (kind === 'CMD-SHELL') return value.length === 2;
  return kind === 'CMD' && value.length > 1;
}
