import { ShoalError } from '../../src/util/errors.ts';
import type { Route } from './router.ts';
import type { UpgradeRoute } from './upgrade.ts';

/** What is answered by a manager: by one that leads all of it, by another one what is read from its view. */
export interface Table {
  routes: readonly Route[];
  upgrades: readonly UpgradeRoute[];
}

/** The table of a term of this manager. */
export interface OwnSeat extends Table {
  kind: 'own';
  /** Aborts when the term is over. */
  over: AbortSignal;
}

/** The manager that leads now, and is not this one. */
export interface OtherSeat {
  kind: 'other';
  /** `HOST:PORT` of its API. */
  address: string;
  /** Aborts when another one leads. */
  over: AbortSignal;
}

/** Where what is the leader's is answered. */
export type Seat = OwnSeat | OtherSeat;

/** What the server asks of who leads. */
export interface Site {
  /** This manager's own term; undefined while it does not lead. */
  readonly own: OwnSeat | undefined;
  /** What is answered by a manager that does not lead. */
  readonly following: Table;
  /**
   * Where the leader's requests go; waits for it until `untilMs` on the monotonic clock. `refused`: one that said it does not
   * lead, and is not asked again before there is news. Throws `unavailable` when nobody leads by then, and the signal's reason.
   */
  seat(wait: { untilMs: number; refused?: Seat | undefined; signal: AbortSignal }): Promise<Seat>;
}

/** A manager that leads for ever. For tests of the server. */
export function soleSite(table: Table): Site {
  const own: OwnSeat = { kind: 'own', ...table, over: new AbortController().signal };
  return { own, following: table, seat: () => Promise.resolve(own) };
}

/** What is in `details` of the error of a manager that does not lead and has done nothing. */
const notLeadingDetails = { notLeading: true };

export function notLeading(): ShoalError {
  return new ShoalError('unavailable', 'Cannot do this here: another manager leads the cluster now', {
    next: 'Try again: the request then goes to that manager.',
    details: notLeadingDetails,
  });
}

export function isNotLeading(error: unknown): boolean {
  return error instanceof ShoalError && error.details === notLeadingDetails;
}
