import { nodeConditions, type NodeDescription } from '../../src/spec/node.ts';
import { taskStates } from '../../src/spec/task.ts';
import type { AgentMessage } from '../../src/wire/session.ts';

/** More tasks in one batch than this is a fault of the agent. */
const batchTasksMax = 10_000;
/** More runtimes or devices than this no host has. */
const featuresMax = 1_000;
const conditionTypes: ReadonlySet<unknown> = new Set(Object.keys(nodeConditions));
/** Longer words on a condition an agent of ours does not send. */
const conditionMessageMax = 2_000;
const states: ReadonlySet<unknown> = new Set(taskStates);

/** What an agent sent, checked; undefined when it is not a session message. */
export function parseAgentMessage(text: string): AgentMessage | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined; // the caller ends the session and says so
  }
  return isObject(value) && isMessage(value) ? (value as AgentMessage) : undefined;
}

function isMessage(value: Record<string, unknown>): boolean {
  switch (value.type) {
    case 'heartbeat':
    case 'resync':
      return true;
    case 'conditions':
      return (
        Array.isArray(value.conditions) &&
        value.conditions.length <= conditionTypes.size &&
        value.conditions.every(isCondition)
      );
    case 'applied':
      return isCount(value.sequence);
    case 'status':
      return (
        isCount(value.batch) &&
        Array.isArray(value.tasks) &&
        value.tasks.length <= batchTasksMax &&
        value.tasks.every(isTaskReport)
      );
    case 'hello':
      return isDescription(value.description);
    default:
      return false;
  }
}

function isTaskReport(value: unknown): boolean {
  if (!isObject(value) || typeof value.taskId !== 'string' || !isObject(value.status)) return false;
  const { state, at, message } = value.status;
  return states.has(state) && typeof at === 'number' && typeof message === 'string';
}

function isCondition(value: unknown): boolean {
  if (!isObject(value) || !conditionTypes.has(value.type)) return false;
  return typeof value.message === 'string' && value.message.length <= conditionMessageMax;
}

function isDescription(value: unknown): value is NodeDescription {
  if (!isObject(value) || !isObject(value.engine)) return false;
  const texts = [value.hostname, value.address, value.os, value.architecture, value.shoalVersion];
  return (
    texts.every((text) => typeof text === 'string') &&
    typeof value.nanoCpus === 'number' &&
    typeof value.memoryBytes === 'number' &&
    isObject(value.engine.labels) &&
    [value.runtimes, value.cdiDevices].every(isNameList)
  );
}

/** Absent, or a list of names. */
function isNameList(value: unknown): boolean {
  if (value === undefined) return true;
  return (
    Array.isArray(value) && value.length <= featuresMax && value.every((name) => typeof name === 'string')
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
