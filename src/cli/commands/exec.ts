import { isatty } from 'node:tty';
import type { Service } from '../../spec/service.ts';
import { compareTaskStates, mayRunCommands, taskName } from '../../spec/task.ts';
import { codeOf, messageOf, ShoalError } from '../../util/errors.ts';
import { errorOf, type ExecConnection } from '../../wire/client.ts';
import { applicationOptions } from '../options.ts';
import { exitCodes, type Command, type Context } from '../command.ts';
import { applicationName, pickServices } from '../reference.ts';
import type { TaskInfo } from '../../wire/api.ts';

/** What a shell answers for a command that is not there. */
const commandNotFound = 127;

/** The task that a name means: `SERVICE`, `SERVICE.SLOT`, or a task id. Of several one that is not starting any more. */
export function pickTask(
  tasks: TaskInfo[],
  services: Service[],
  application: string | undefined,
  name: string,
): TaskInfo {
  const running = tasks.filter((task) => mayRunCommands(task.status.state));
  const exact = running.find((task) => task.id === name || taskName(task) === name);
  if (exact) return exact;
  const [, base = name, slot] = /^(.*)\.(\d+)$/.exec(name) ?? [];
  const [service] = pickServices(services, application, [base]);
  const found = running
    .filter((task) => task.serviceId === service!.id && (slot === undefined || task.slot === Number(slot)))
    .sort(
      (left, right) => compareTaskStates(right.status.state, left.status.state) || left.slot - right.slot,
    )[0];
  if (found) return found;
  throw new ShoalError(
    'failed_precondition',
    `Cannot run a command in ${name}: none of its tasks is running`,
    {
      next: `See \`shoal ps -p ${service!.spec.application}\`.`,
    },
  );
}

/** Hands the terminal's input and size over, and gives back how to let go of it. */
function attachTerminal(context: Context, connection: ExecConnection, tty: boolean): () => void {
  const { stdin, stdout } = process;
  const failed = (error: unknown) => context.output.note(messageOf(error));
  const onData = (chunk: Buffer) => {
    stdin.pause();
    connection.send('stdin', chunk).then(() => stdin.resume(), failed);
  };
  const onEnd = () => void connection.send('end').catch(failed);
  const onResize = () => {
    const size = JSON.stringify({ columns: stdout.columns, rows: stdout.rows });
    connection.send('resize', size).catch(failed);
  };
  stdin.on('data', onData).on('end', onEnd);
  if (tty) {
    stdin.setRawMode?.(true);
    stdout.on('resize', onResize);
  }
  return () => {
    stdin.off('data', onData).off('end', onEnd).pause();
    stdout.off('resize', onResize);
    if (tty) stdin.setRawMode?.(false);
    stdin.unref?.();
  };
}

async function relay(context: Context, connection: ExecConnection): Promise<number> {
  for await (const { type, payload } of connection.frames) {
    if (type === 'stdout' || type === 'stderr') context.output.write(type, payload);
    else if (type === 'exit') return (JSON.parse(payload.toString()) as { exitCode: number }).exitCode;
    else if (type === 'error') throw errorOf(JSON.parse(payload.toString()) as Parameters<typeof errorOf>[0]);
  }
  throw new ShoalError('unavailable', 'Cannot say how the command ended: the connection broke');
}

export const command: Command = {
  name: 'exec',
  summary: 'Run a command in a running container, wherever it is.',
  positionals: 'SERVICE[.SLOT]|TASK COMMAND [ARGUMENT...]',
  positionalsMin: 2,
  positionalsMax: 1000,
  passThroughAfter: 1,
  options: {
    'project-name': applicationOptions['project-name']!,
    file: applicationOptions['file']!,
    'no-tty': { short: 'T', help: 'No terminal, even when standard input is one' },
    env: { short: 'e', value: 'NAME=VALUE', multiple: true, help: 'Set a variable' },
    user: { short: 'u', value: 'USER', help: 'Run as this user' },
    workdir: { short: 'w', value: 'DIR', help: 'Run in this folder' },
  },
  examples: [
    'shoal exec web sh',
    'shoal exec guestbook_web.2 cat /etc/resolv.conf',
    'echo hello | shoal exec -T web cat',
  ],
  async run(context, parsed) {
    const [name, ...words] = parsed.positionals;
    const application = await applicationName(context, parsed);
    const client = await context.client();
    const [tasks, services] = await Promise.all([
      client.request<TaskInfo[]>('GET', '/tasks'),
      client.request<Service[]>('GET', '/services'),
    ]);
    const task = pickTask(tasks, services, application, name!);
    const tty = !parsed.flag('no-tty') && isatty(0) && isatty(1);
    const environment = Object.fromEntries(
      parsed.values('env').map((each) => {
        const [key = '', ...value] = each.split('=');
        return [key, value.length > 0 ? value.join('=') : (context.environment[key] ?? '')];
      }),
    );
    const connection = await client.exec(task.id, {
      command: words,
      tty,
      environment,
      user: parsed.value('user'),
      workingDirectory: parsed.value('workdir'),
      size: tty ? { columns: process.stdout.columns, rows: process.stdout.rows } : undefined,
    });
    const release = attachTerminal(context, connection, tty);
    const onAbort = () => connection.close();
    context.signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await relay(context, connection);
    } catch (error) {
      if (context.signal.aborted) return exitCodes.interrupted;
      if (codeOf(error) !== 'command_not_found') throw error;
      context.output.note(messageOf(error));
      return commandNotFound;
    } finally {
      release();
      connection.close();
    }
  },
};
