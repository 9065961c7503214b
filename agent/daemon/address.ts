import { networkInterfaces } from 'node:os';
import { isIPv4 } from 'node:net';
import { runCommand } from '../../src/util/command.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';

const next =
  'Give the address of this host that the other hosts reach: --advertise-address here, or --advertise of the daemon.';

/** Checks an address that was given: one of this host's own IPv4 addresses. Throws `invalid_argument`. */
export function checkOwnAddress(address: string): string {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  if (!isIPv4(address)) {
    throw new ShoalError(
      'invalid_argument',
      `Cannot advertise ${JSON.stringify(address)}: it is not an IPv4 address`,
      {
        next,
      },
    );
  }
  if (own.some((one) => one.address === address)) return address;
  throw new ShoalError('invalid_argument', `Cannot advertise ${address}: this host does not have it`, {
    next,
  });
}

/** The IPv4 address of the interface that the default route goes through. Throws `failed_precondition` without one. */
export async function defaultAddress(): Promise<string> {
  const routes = await runCommand('ip', ['-json', '-4', 'route', 'show', 'default']).catch(
    (cause: unknown) => {
      throw new ShoalError('failed_precondition', `Cannot find this host's address: ${messageOf(cause)}`, {
        next,
      });
    },
  );
  const parsed = JSON.parse(routes === '' ? '[]' : routes) as { dev?: string; prefsrc?: string }[];
  const [route] = parsed;
  const address =
    route?.prefsrc ??
    networkInterfaces()[route?.dev ?? '']?.find(({ family, internal }) => family === 'IPv4' && !internal)
      ?.address;
  if (address !== undefined) return address;
  throw new ShoalError('failed_precondition', "Cannot find this host's address: there is no default route", {
    next,
  });
}
