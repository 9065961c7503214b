import type { Clock } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import type { Random } from '../../src/util/random.ts';
import { askManagers } from '../session/manager-order.ts';
import type { Credentials } from '../session/session.ts';
import { renewalTime, renewCertificate } from './joining.ts';

/** A timer of the platform holds at most 2^31 ms; far-off renewals are looked at again daily. */
const renewalLookMs = 24 * 60 * 60 * 1000;
const renewalRetryMs = 60_000;

export interface RenewalParts {
  clock: Clock;
  random: Random;
  log: Logger;
  hostname: string;
  /** Undefined once the host is in no cluster any more. */
  credentials: () => Credentials | undefined;
  managers: () => string[];
  /** Makes them durable, and what is used from now on. */
  save: (credentials: Credentials) => Promise<void>;
  /** Connections are to be made anew with them. */
  onRenewed: () => void;
}

/** Renews the certificate when its time has come, for as long as this host is a member. Never throws. */
export async function keepCertificate(parts: RenewalParts, signal: AbortSignal): Promise<void> {
  const { clock, random, log, hostname, managers } = parts;
  let at: number | undefined;
  for (let old = parts.credentials(); !signal.aborted && old !== undefined; old = parts.credentials()) {
    const { cert } = old;
    at ??= renewalTime(cert, random);
    const wait = Math.min(renewalLookMs, at - clock.now());
    try {
      if (wait > 0) {
        await clock.sleep(wait, signal);
        continue;
      }
      const known = old;
      await parts.save(
        await askManagers(managers(), (address) => renewCertificate(address, known, hostname)),
      );
      at = undefined;
      // One that is to be renewed at once comes from a manager whose clock is far behind.
      await clock.sleep(renewalRetryMs, signal);
      parts.onRenewed();
      log.info('the certificate of this node was renewed');
    } catch (error) {
      if (signal.aborted) return;
      log.warn('the certificate of this node could not be renewed yet', { error: messageOf(error) });
      await clock.sleep(renewalRetryMs, signal).catch(() => undefined); // ends early only when stopping
    }
  }
}
