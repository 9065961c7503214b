import { pipeline } from 'node:stream/promises';
import { createWebSocketStream, type WebSocket } from 'ws';
import { mayRunCommands, taskName } from '../../src/spec/task.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import { execRequest } from '../../src/wire/session.ts';
import type { ApiContext } from './context.ts';
import type { PreparedUpgrade, UpgradeCall, UpgradeRoute } from './upgrade.ts';
import { findTask } from './tasks.ts';
import { checkSchema } from './validate.ts';

/** Exec: the caller's connection and the agent's, joined frame by frame. */
export function execRoute(context: ApiContext, prefix: string): UpgradeRoute {
  return {
    pattern: `${prefix}/tasks/:ref/exec`,
    access: 'operator',
    audited: true,
    messageBytesMax: 'frame',
    prepare: async (call) => bridged(context, await openExec(context, call)),
  };
}

/** Joins the caller's connection with the agent's once it stands. */
export function bridged(context: ApiContext, agent: WebSocket): PreparedUpgrade {
  return {
    accept: (caller) => {
      // Runs for as long as both ends do; how it ends is between them.
      context.streams
        .run(() => bridge(caller, agent))
        .catch((error: unknown) => context.log.debug('a joined stream ended', { error: messageOf(error) }))
        .finally(() => {
          agent.terminate();
          caller.terminate();
        });
    },
    abandon: () => agent.terminate(),
  };
}

async function openExec(context: ApiContext, call: UpgradeCall): Promise<WebSocket> {
  const request = checkSchema(execRequest, parse(call.query.get('request') ?? ''));
  const task = findTask(context.database.view, call.parameters.ref!);
  // Arguments may hold secrets; which program it was is enough.
  call.objects.push(`exec ${request.command[0]} in ${taskName(task)}`);
  if (!mayRunCommands(task.status.state)) {
    const name = taskName(task);
    throw new ShoalError(
      'failed_precondition',
      `Cannot run a command in ${name}: it is ${task.status.state}`,
      {
        next: 'Wait until `shoal ps` shows it running.',
      },
    );
  }
  const stream = { kind: 'exec', taskId: task.id, ...request } as const;
  return await context.agents.openStream(task.nodeId ?? '', stream, { awaitsReturn: true });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new ShoalError('invalid_argument', 'Cannot read the request of an exec: it is not JSON', { cause });
  }
}

/** Passes messages both ways, no faster than they are read, until the agent's side ends. */
async function bridge(caller: WebSocket, agent: WebSocket): Promise<void> {
  const near = createWebSocketStream(caller, { readableObjectMode: true });
  const far = createWebSocketStream(agent, { readableObjectMode: true });
  await Promise.race([pipeline(far, near), pipeline(near, far)]);
  await new Promise((resolve) => {
    if (caller.readyState === caller.CLOSED) resolve(undefined);
    else caller.once('close', resolve);
  });
}
