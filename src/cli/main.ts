import type { Diagnostic } from '../compose/diagnostic.ts';
import { messageOf, ShoalError } from '../util/errors.ts';
import { nearest, printable } from '../util/text.ts';
import type { Client } from '../wire/client.ts';
import { applicationOptions } from './options.ts';
import { commonOptions, parseArguments } from './arguments.ts';
import { exitCodes, type Command, type Context } from './command.ts';
import { terminalAsk } from './confirm.ts';
import { renderCommandHelp, renderHelp } from './help.ts';
import { targetOf, type TargetWishes } from './target.ts';
import { paint, terminalOutput, type Output } from './output.ts';

/** Every command, in the order of the help. Loaded on use, so that starting one costs only what that one needs. */
export const commands: Record<string, () => Promise<{ command: Command }>> = {
  init: () => import('./commands/init.ts'),
  join: () => import('./commands/join.ts'),
  leave: () => import('./commands/leave.ts'),
  up: () => import('./commands/up.ts'),
  down: () => import('./commands/down.ts'),
  ls: () => import('./commands/ls.ts'),
  ps: () => import('./commands/ps.ts'),
  logs: () => import('./commands/logs.ts'),
  exec: () => import('./commands/exec.ts'),
  scale: () => import('./commands/scale.ts'),
  rollback: async () => ({ command: (await import('./commands/lifecycle.ts')).rollback }),
  restart: async () => ({ command: (await import('./commands/lifecycle.ts')).restart }),
  pause: async () => ({ command: (await import('./commands/lifecycle.ts')).pause }),
  resume: async () => ({ command: (await import('./commands/lifecycle.ts')).resume }),
  stop: async () => ({ command: (await import('./commands/lifecycle.ts')).stop }),
  start: async () => ({ command: (await import('./commands/lifecycle.ts')).start }),
  config: () => import('./commands/config.ts'),
  inspect: () => import('./commands/inspect.ts'),
  'service ls': async () => ({ command: (await import('./commands/service.ts')).ls }),
  'service inspect': async () => ({ command: (await import('./commands/service.ts')).inspect }),
  'service history': () => import('./commands/service-history.ts'),
  'cluster inspect': async () => ({ command: (await import('./commands/cluster.ts')).inspect }),
  'cluster update': async () => ({ command: (await import('./commands/cluster.ts')).update }),
  'node ls': () => import('./commands/node-ls.ts'),
  'node inspect': async () => ({ command: (await import('./commands/node.ts')).inspect }),
  'node ps': async () => ({ command: (await import('./commands/node.ts')).ps }),
  'node update': () => import('./commands/node-update.ts'),
  'node promote': async () => ({ command: (await import('./commands/node-role.ts')).promote }),
  'node demote': async () => ({ command: (await import('./commands/node-role.ts')).demote }),
  'node rm': () => import('./commands/node-rm.ts'),
  'network create': async () => ({ command: (await import('./commands/network.ts')).create }),
  'network ls': async () => ({ command: (await import('./commands/network.ts')).ls }),
  'network inspect': async () => ({ command: (await import('./commands/network.ts')).inspect }),
  'network rm': async () => ({ command: (await import('./commands/network.ts')).rm }),
  'volume create': async () => ({ command: (await import('./commands/volume.ts')).create }),
  'volume ls': async () => ({ command: (await import('./commands/volume.ts')).ls }),
  'volume inspect': async () => ({ command: (await import('./commands/volume.ts')).inspect }),
  'volume rm': async () => ({ command: (await import('./commands/volume.ts')).rm }),
  'volume use': async () => ({ command: (await import('./commands/volume-archive.ts')).use }),
  'volume move': async () => ({ command: (await import('./commands/volume-move.ts')).move }),
  'volume copy': async () => ({ command: (await import('./commands/volume-move.ts')).copy }),
  'volume backup': async () => ({ command: (await import('./commands/volume-archive.ts')).backup }),
  'volume restore': async () => ({ command: (await import('./commands/volume-archive.ts')).restore }),
  'secret create': async () => ({ command: (await import('./commands/secret.ts')).create }),
  'secret ls': async () => ({ command: (await import('./commands/secret.ts')).ls }),
  'secret inspect': async () => ({ command: (await import('./commands/secret.ts')).inspect }),
  'secret rm': async () => ({ command: (await import('./commands/secret.ts')).rm }),
  'config create': async () => ({ command: (await import('./commands/stored-config.ts')).create }),
  'config ls': async () => ({ command: (await import('./commands/stored-config.ts')).ls }),
  'config inspect': async () => ({ command: (await import('./commands/stored-config.ts')).inspect }),
  'config rm': async () => ({ command: (await import('./commands/stored-config.ts')).rm }),
  'admin create': async () => ({ command: (await import('./commands/admin.ts')).create }),
  'admin ls': async () => ({ command: (await import('./commands/admin.ts')).ls }),
  'admin rm': async () => ({ command: (await import('./commands/admin.ts')).rm }),
  audit: () => import('./commands/audit.ts'),
  token: () => import('./commands/token.ts'),
  doctor: () => import('./commands/doctor.ts'),
  version: () => import('./commands/version.ts'),
};

async function loadAll(): Promise<Command[]> {
  return Promise.all(Object.values(commands).map(async (load) => (await load()).command));
}

function findCommand(argv: string[]) {
  for (const words of [2, 1]) {
    const name = argv.slice(0, words).join(' ');
    if (argv.length >= words && Object.hasOwn(commands, name))
      return { load: commands[name]!, words, rest: argv.slice(words) };
  }
  return undefined;
}

/**
 * Options of the application may stand before the command too, as `docker compose -f FILE up` has them; they are moved
 * behind it in their long form.
 */
export function hoistOptions(argv: string[]): string[] {
  const known = { ...applicationOptions, ...commonOptions };
  const moved: string[] = [];
  let index = 0;
  while (index < argv.length) {
    const [shown = '', ...inline] = argv[index]!.split('=');
    const name = Object.keys(known).find((key) => shown === `--${key}` || shown === `-${known[key]!.short}`);
    if (name === undefined || known[name]!.value === undefined) break;
    moved.push(`--${name}=${inline.length > 0 ? inline.join('=') : (argv[index + 1] ?? '')}`);
    index += inline.length > 0 ? 1 : 2;
  }
  const rest = argv.slice(index);
  const words = findCommand(rest)?.words ?? 0;
  return words === 0 ? argv : [...rest.slice(0, words), ...moved, ...rest.slice(words)];
}

/** What to tell a person about a failure, and the exit code. */
export async function report(output: Output, error: unknown): Promise<number> {
  if (!(error instanceof ShoalError)) {
    output.note(paint(output, 'red', `shoal: ${printable(messageOf(error))}`));
    output.note(printable(error instanceof Error ? (error.stack ?? '') : ''));
    output.note('This is a bug in Shoal. Please report it with the lines above.');
    return exitCodes.failed;
  }
  if (['invalid_file', 'not_supported'].includes(error.code) && Array.isArray(error.details)) {
    const { renderDiagnostics } = await import('../compose/diagnostic.ts');
    output.note(renderDiagnostics(error.details as Diagnostic[]));
  }
  output.note(`${paint(output, 'red', 'shoal:')} ${printable(messageOf(error))}`);
  if (error.next !== undefined) output.note(printable(error.next));
  if (error.code === 'invalid_argument') return exitCodes.usage;
  if (error.code === 'overtaken') return exitCodes.overtaken;
  return error.code === 'unavailable' ? exitCodes.unreachable : exitCodes.failed;
}

async function connectTo(wishes: TargetWishes): Promise<Client> {
  const { host, others, ...options } = targetOf(wishes);
  // Loaded for those who have several: most commands talk to a local socket and are to start at once.
  if (others === undefined) return (await import('../wire/client.ts')).connect(host, options);
  return (await import('../wire/several.ts')).connectAny([host, ...others], options);
}

function createContext(output: Output, wishes: TargetWishes, signal: AbortSignal) {
  const { environment } = wishes;
  let client: Promise<Client> | undefined;
  const context: Context = {
    output,
    environment,
    workingDirectory: process.cwd(),
    signal,
    ask: terminalAsk(signal),
    client: () => (client ??= connectTo(wishes)),
  };
  const close = async () => {
    const used = await client?.catch(() => undefined);
    if (used?.warning !== undefined) output.note(paint(output, 'yellow', `warning: ${used.warning}`));
    used?.close();
  };
  return { context, close };
}

async function runCommand(given: string[], output: Output, signal: AbortSignal): Promise<number> {
  const environment = process.env;
  const argv = hoistOptions(given);
  const [first] = argv;
  if (first === undefined || first === '--help' || first === '-h' || first === 'help') {
    const asked = findCommand(argv.slice(1));
    output.print(asked ? renderCommandHelp((await asked.load()).command) : renderHelp(await loadAll()));
    return first === undefined ? exitCodes.usage : exitCodes.done;
  }
  const found = findCommand(first === '--version' || first === '-v' ? ['version'] : argv);
  if (found === undefined) {
    const names = Object.keys(commands);
    const guess = nearest(argv.slice(0, 2).join(' '), names) ?? nearest(first, names);
    throw new ShoalError('invalid_argument', `Cannot run ${JSON.stringify(first)}: no such command`, {
      next: guess ? `Did you mean \`shoal ${guess}\`?` : 'See `shoal --help`.',
    });
  }
  const { command } = await found.load();
  const parsed = parseArguments(command, found.rest);
  if (parsed.flag('help')) {
    output.print(renderCommandHelp(command));
    return exitCodes.done;
  }
  const { context, close } = createContext(
    output,
    { host: parsed.value('host'), context: parsed.value('context'), environment },
    signal,
  );
  try {
    return await command.run(context, parsed);
  } finally {
    await close();
  }
}

/** Runs one command line (without the program's name) and gives its exit code. */
export async function main(argv: string[]): Promise<number> {
  const output = terminalOutput(process.env);
  const interrupt = new AbortController();
  const onSignal = () => interrupt.abort(new Error('interrupted'));
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  process.stdout.on('error', (error: NodeJS.ErrnoException) =>
    process.exit(error.code === 'EPIPE' ? 0 : exitCodes.failed),
  );
  try {
    return await runCommand(argv, output, interrupt.signal);
  } catch (error) {
    if (interrupt.signal.aborted) return exitCodes.interrupted;
    return await report(output, error);
  }
}
