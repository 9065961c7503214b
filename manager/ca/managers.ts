import { nodeName } from '../../src/spec/node-name.ts';
import type { Node } from '../../src/spec/node.ts';
import { managerPort } from '../../src/spec/defaults.ts';
import { ShoalError } from '../../src/util/errors.ts';

/** More managers make every write slower, and five survive the loss of two. */
export const managersMax = 5;

const isManager = ({ role }: Node) => role === 'manager';
const isVoter = ({ manager }: Node) => manager?.member?.phase === 'voting';
const isThere = ({ status }: Node) => status.state === 'ready';
const named = (nodes: readonly Node[]) => nodes.map(nodeName).join(', ');

/** Throws `failed_precondition` when there are as many managers as there may be. `what` could not be done. */
export function checkOneMore(nodes: Iterable<Node>, what: string): void {
  const managers = [...nodes].filter(isManager);
  if (managers.length < managersMax) return;
  throw new ShoalError(
    'failed_precondition',
    `Cannot ${what}: there are ${managersMax} managers, and never more`,
    {
      next: `Three survive the loss of one, five that of two. Make one a worker first: \`shoal node demote\` (${named(managers)}).`,
    },
  );
}

/** What a person should know once there are so many managers; undefined when all is well. */
export function adviceFor(managers: number): string | undefined {
  if (managers === 2) {
    return (
      'There are two managers now: the second is a standby with a copy of everything, and the cluster stops changing when the ' +
      'first is away. Add a third: then any one of them may be lost.'
    );
  }
  if (managers === 4) {
    return 'There are four managers now: they survive the loss of one, as three do. A fifth makes it two.';
  }
  return undefined;
}

/** The node as a manager. Throws `failed_precondition` when nothing is known of its host, or it is not there. */
export function promoted(nodes: Iterable<Node>, node: Node): Node {
  const name = nodeName(node);
  checkOneMore(nodes, `make ${name} a manager`);
  const { description } = node;
  if (description === undefined || !isThere(node)) {
    throw new ShoalError('failed_precondition', `Cannot make ${name} a manager: its host is not there`, {
      next: 'Start the daemon on it, and see `shoal node ls`.',
    });
  }
  const address = `${description.address}:${description.managerPort ?? managerPort}`;
  return { ...node, role: 'manager', manager: { ...node.manager, address } };
}

/**
 * The node as a worker; the reconciler takes its member out of the store. Throws `failed_precondition` with the way out when the cluster
 * could not go on without it. `leader`: `HOST:PORT` of the manager that leads.
 */
export function demoted(nodes: Iterable<Node>, node: Node, leader: string | undefined): Node {
  checkGoesOnWithout([...nodes], node, `make ${nodeName(node)} a worker`, leader);
  const { manager, ...others } = node;
  // What has a member is told that it is a worker only once that is gone.
  return { ...others, role: 'worker', ...(manager?.member === undefined ? {} : { manager }) };
}

/** Throws `failed_precondition` with the way out when the managers would have no quorum without that one. */
export function checkGoesOnWithout(
  nodes: readonly Node[],
  node: Node,
  what: string,
  leader: string | undefined,
): void {
  const others = nodes.filter(({ id }) => id !== node.id);
  const managers = others.filter(isManager);
  if (managers.length === 0) {
    throw new ShoalError('failed_precondition', `Cannot ${what}: it is the only manager`, {
      next: 'Make another host a manager first: `shoal node promote NODE`.',
    });
  }
  const isLast = !nodes.some((each) => each.id !== node.id && isVoter(each));
  const holdsAll = isVoter(node) || (leader !== undefined && node.manager?.address === leader);
  if (isLast) {
    const heir = managers.find((each) => isThere(each) && each.manager?.member?.phase === 'started');
    if (!holdsAll || heir !== undefined) return;
    throw new ShoalError(
      'failed_precondition',
      `Cannot ${what}: no other manager has a copy of the store yet`,
      {
        next: `Wait until ${named(managers)} ${managers.length === 1 ? 'is' : 'are'} no longer Joining in \`shoal node ls\`.`,
      },
    );
  }
  const voters = others.filter(isVoter);
  const away = voters.filter((each) => !isThere(each));
  if (voters.length - away.length > voters.length / 2) return;
  throw new ShoalError(
    'failed_precondition',
    `Cannot ${what}: of the managers that are left, ${named(away)} ${away.length === 1 ? 'is' : 'are'} away, and the others could change nothing any more`,
    {
      next: `Bring ${away.length === 1 ? 'it' : 'them'} back, or remove what is gone for good: \`shoal node rm ${nodeName(away[0]!)}\`.`,
    },
  );
}
