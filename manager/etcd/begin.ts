import { ShoalError, unreachable } from '../../src/util/errors.ts';
import type { MemberNote } from './folder.ts';
import type { EtcdStart } from './flags.ts';

/** How this manager's member begins. */
export type EtcdBegin =
  /** As the first member of a new cluster of etcd, whatever was there before. */
  | { state: 'new'; token: string }
  /** As the member that another manager has added, with all members as `MemberAdd` answered. */
  | { state: 'existing'; memberId: string; members: { name: string; peerUrl: string }[] }
  /** From its own data. */
  | { state: 'continue' };

export interface OwnMember {
  name: string;
  address: string;
  ports: { client: number; peer: number };
}

/**
 * What is to be done with the folder before etcd starts. `setAside`: what is there is of another member. Throws
 * `failed_precondition` when etcd must not start from what is there.
 */
export function decideBegin(
  begin: EtcdBegin,
  own: OwnMember,
  found: { hasData: boolean; note: MemberNote | undefined },
): { setAside: boolean; start: EtcdStart; note: MemberNote } {
  const { hasData, note } = found;
  const fresh: MemberNote = { ...own, isStarted: false };
  switch (begin.state) {
    case 'new':
      return { setAside: hasData, start: begin, note: fresh };
    case 'existing': {
      const isSame = note?.memberId === begin.memberId;
      // With an id whose promises it does not remember a member would break them (etcd panics, or worse).
      if (isSame && note.isStarted && !hasData) throw lost();
      const start = { state: 'existing' as const, members: begin.members };
      const kept = isSame && hasData ? note.isStarted : false;
      return {
        setAside: hasData && !isSame,
        start,
        note: { ...fresh, memberId: begin.memberId, isStarted: kept },
      };
    }
    case 'continue':
      if (note === undefined || !hasData) throw lost();
      checkSame(own, note);
      return { setAside: false, start: { state: 'continue' }, note };
    default:
      return unreachable(begin);
  }
}

function lost(): ShoalError {
  return new ShoalError('failed_precondition', "Cannot start etcd: this manager's member has lost its data", {
    next: 'On another manager: `shoal node demote` this node, wait until it is a worker, and promote it again.',
    details: { reason: 'lost' },
  });
}

/** The others know it by its address: with another one it would wait for them, and they for it. */
function checkSame(own: OwnMember, note: MemberNote): void {
  const words = ({ name, address, ports }: OwnMember) =>
    `${name} at ${address}:${ports.client},${ports.peer}`;
  if (words(own) === words(note)) return;
  throw new ShoalError(
    'failed_precondition',
    `Cannot start etcd as ${words(own)}: the other managers know this member as ${words(note)}`,
    { next: 'Give the host its address back, or demote and promote its node on another manager.' },
  );
}
