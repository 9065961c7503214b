import { isDeepStrictEqual } from 'node:util';
import {
  nodeConditions,
  type Node,
  type NodeCondition,
  type NodeConditionType,
} from '../../src/spec/node.ts';
import type { Clock } from '../../src/util/clock.ts';
import { ShoalError } from '../../src/util/errors.ts';
import type { Logger } from '../../src/util/log.ts';
import { Loop } from '../../src/util/loop.ts';
import type { Database, Plan, View } from '../store/objects.ts';

/** What one side says of a node, without since when. */
export type ReportedCondition = Pick<NodeCondition, 'type' | 'message'>;

/** Who sees what: the node's agent tells of its host, the manager of what only it can compare. */
export type ConditionSource = 'agent' | 'manager';

const seenByManager: ReadonlySet<NodeConditionType> = new Set([
  'AgentStalled',
  'ClockSkewed',
  'Unreachable',
  'VersionMismatch',
]);

/** The newest that each source says of each node: every report is complete, so an older one is of no use. */
export type ConditionReports = ReadonlyMap<
  string,
  Partial<Record<ConditionSource, readonly ReportedCondition[]>>
>;

/** Writes what was reported into the nodes that say otherwise. A source is believed only on what it can see, and a newer one not on what this version does not know. */
export function planConditions(view: View, reports: ConditionReports, now: number): Plan {
  const plan: Plan = [];
  for (const [nodeId, bySource] of reports) {
    const node = view.nodes.get(nodeId);
    if (node === undefined) continue;
    const conditions = conditionsAfter(node.conditions ?? [], bySource, now);
    if (isDeepStrictEqual(conditions, node.conditions ?? [])) continue;
    const { conditions: _before, ...others } = node;
    const object: Node = conditions.length === 0 ? others : { ...others, conditions };
    plan.push([{ kind: 'node', action: 'update', object }]);
  }
  return plan;
}

function conditionsAfter(
  before: readonly NodeCondition[],
  bySource: Partial<Record<ConditionSource, readonly ReportedCondition[]>>,
  now: number,
): NodeCondition[] {
  const sourceOf = (type: NodeConditionType) => (seenByManager.has(type) ? 'manager' : 'agent');
  const unchanged = before.filter(({ type }) => bySource[sourceOf(type)] === undefined);
  const told = (['agent', 'manager'] as const).flatMap((source) =>
    (bySource[source] ?? []).filter(
      ({ type }) => Object.hasOwn(nodeConditions, type) && sourceOf(type) === source,
    ),
  );
  const byType = new Map(told.map(({ type, message }) => [type, message]));
  const current = [...byType].map(([type, message]) => {
    const known = before.find((condition) => condition.type === type);
    return { type, since: known?.since ?? now, message };
  });
  return [...unchanged, ...current].sort((left, right) => (left.type < right.type ? -1 : 1));
}

/** Writes reports into the store, the newest of each node and source; what fails is tried again. */
export class ConditionWriter {
  readonly #loop: Loop;
  #reports = new Map<string, Partial<Record<ConditionSource, readonly ReportedCondition[]>>>();

  constructor(database: Database, clock: Clock, log: Logger) {
    this.#loop = new Loop({
      name: 'node conditions',
      clock,
      log,
      tick: async () => {
        const reports = this.#reports;
        this.#reports = new Map();
        try {
          const { conflicts } = await database.write(planConditions(database.view, reports, clock.now()));
          if (conflicts > 0)
            throw new ShoalError('conflict', 'Cannot write conditions: the nodes have changed');
        } catch (error) {
          for (const [nodeId, told] of reports) {
            this.#reports.set(nodeId, { ...told, ...this.#reports.get(nodeId) });
          }
          throw error; // the loop tries again
        }
      },
    });
  }

  start(): void {
    this.#loop.start();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
  }

  /** `source` says that these conditions hold on the node, and no others. */
  report(nodeId: string, source: ConditionSource, conditions: readonly ReportedCondition[]): void {
    this.#reports.set(nodeId, { ...this.#reports.get(nodeId), [source]: conditions });
    this.#loop.poke();
  }
}
