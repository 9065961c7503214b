import { checkOpen, prepareOpen, wordsOf } from '../../src/wire/check.ts';
import type { Schema } from '../../src/wire/schema.ts';
import {
  assignmentSchemas,
  type AssignmentKind,
  type AssignmentKinds,
  type AssignmentPut,
  type AssignmentRemove,
  type AssignedTask,
  type ManagerMessage,
} from '../../src/wire/session.ts';
import { assignmentsBytesMax, sizeOf } from './limits.ts';

// Compiling takes a while: at the start, and not while heartbeats are due.
prepareOpen(Object.values(assignmentSchemas));

/** Everything this node is told, by kind and id. Never modified: a change gives new maps for the kinds it touches. */
export type Assignments = { readonly [Kind in AssignmentKind]: ReadonlyMap<string, AssignmentKinds[Kind]> };

export type AssignmentsMessage = Extract<ManagerMessage, { type: 'assignments' }>;

/** One consistent step from what was told before to what is told now. */
export interface AssignmentChange {
  /** Everything that was there before is replaced. */
  replace: boolean;
  /** Sequence number, within its session, of the message that completed it. */
  sequence: number;
  put: AssignmentPut[];
  remove: AssignmentRemove[];
}

/** Where one session stands: the last number it had, and the parts of a complete set that is still coming in. */
export interface Intake {
  sequence: number | undefined;
  parts: AssignmentPut[] | undefined;
  bytes: number;
}

export const freshIntake: Intake = { sequence: undefined, parts: undefined, bytes: 0 };

export function noAssignments(): Assignments {
  return {
    template: new Map(),
    task: new Map(),
    network: new Map(),
    peer: new Map(),
    service: new Map(),
    endpoint: new Map(),
    secret: new Map(),
    config: new Map(),
  };
}

/** What of a message cannot be acted on, and why. */
export interface Refused {
  kind: string;
  id: string;
  why: string;
}

/** Why templates of a session were refused, by id. */
export type BadTemplates = ReadonlyMap<string, string>;

/**
 * Checks each thing that is told by itself, so that one that is bad keeps no other away, but for the tasks that refer to a bad
 * template. `bad`: those that were refused before in the same session.
 */
export function sound(
  puts: readonly AssignmentPut[],
  bad: BadTemplates = new Map(),
): { put: AssignmentPut[]; refused: Refused[]; bad: BadTemplates } {
  const put: AssignmentPut[] = [];
  const refused: Refused[] = [];
  const refuse = (each: AssignmentPut, why: string) => {
    refused.push({ kind: each.kind, id: String((each.value as { id?: unknown } | null)?.id), why });
  };
  for (const each of puts) {
    const why = faultOf(each);
    if (why === undefined) put.push(each);
    else refuse(each, why);
  }
  const templates = refused.flatMap(({ kind, id, why }) => (kind === 'template' ? [[id, why] as const] : []));
  const allBad = templates.length === 0 ? bad : new Map([...bad, ...templates]);
  if (allBad.size === 0) return { put, refused, bad };
  const usable = put.filter((each) => {
    const why = each.kind === 'task' ? allBad.get(each.value.templateId) : undefined;
    if (why !== undefined) refuse(each, why);
    return why === undefined;
  });
  return { put: usable, refused, bad: allBad };
}

function faultOf({ kind, value }: AssignmentPut): string | undefined {
  if (!Object.hasOwn(assignmentSchemas, kind)) return 'this version does not know the kind';
  const { fault } = checkOpen(assignmentSchemas[kind] as Schema<unknown>, value);
  return fault && wordsOf(fault);
}

/**
 * Takes one message. A complete set is handed on with its last part; increments must follow one another without a gap, or
 * everything is asked for again (`resync`) and increments are ignored until it comes.
 */
export function receive(
  intake: Intake,
  message: AssignmentsMessage,
): { intake: Intake; change?: AssignmentChange; resync?: true } {
  const { sequence, put } = message;
  // What only newer managers know was never put here.
  const remove = message.remove.filter(({ kind }) => Object.hasOwn(assignmentSchemas, kind));
  const next = intake.sequence === undefined ? undefined : intake.sequence + 1;
  if (message.mode === 'incremental') {
    if (next === undefined && intake.parts === undefined) return { intake }; // already asked for everything
    if (intake.parts !== undefined || sequence !== next) return { intake: freshIntake, resync: true };
    return { intake: { ...intake, sequence }, change: { replace: false, sequence, put, remove } };
  }
  if (intake.parts !== undefined && sequence !== next) return { intake: freshIntake, resync: true };
  const parts = [...(intake.parts ?? []), ...put];
  const bytes = intake.bytes + sizeOf(message);
  if (bytes > assignmentsBytesMax) return { intake: freshIntake, resync: true };
  if (message.more) return { intake: { sequence, parts, bytes } };
  return {
    intake: { sequence, parts: undefined, bytes: 0 },
    change: { replace: true, sequence, put: parts, remove: [] },
  };
}

/** The assignments after a change. Maps of kinds that the change does not touch stay the same objects. */
export function changed(
  before: Assignments,
  change: Pick<AssignmentChange, 'replace' | 'put' | 'remove'>,
): Assignments {
  const base = change.replace ? noAssignments() : before;
  const copies = new Map<AssignmentKind, Map<string, unknown>>();
  const writable = (kind: AssignmentKind) => {
    const copy = copies.get(kind) ?? new Map<string, unknown>(base[kind]);
    copies.set(kind, copy);
    return copy;
  };
  for (const { kind, id } of change.remove) writable(kind).delete(id);
  for (const { kind, value } of change.put) writable(kind).set(value.id, value);
  return { ...base, ...Object.fromEntries(copies) };
}

/** The tasks with their templates, which they share; and the ids of those that refer to one that is not there. */
export function assignedTasks({ task: tasks, template: templates }: Assignments): {
  tasks: ReadonlyMap<string, AssignedTask>;
  missing: string[];
} {
  const whole = new Map<string, AssignedTask>();
  const missing: string[] = [];
  for (const [id, task] of tasks) {
    const template = templates.get(task.templateId)?.template;
    if (template === undefined) missing.push(id);
    else whole.set(id, { ...task, template });
  }
  return { tasks: whole, missing };
}
