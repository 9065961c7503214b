import { Daemon } from './daemon/daemon.ts';
import { lockState } from './daemon/lock.ts';
import { protectFromOutOfMemory } from './daemon/oom-score.ts';
import { daemonHelp, parseDaemonOptions } from './daemon/options.ts';
import { systemClock } from '../src/util/clock.ts';
import { keepShells } from '../src/util/command.ts';
import { keepCompiled } from '../src/util/compile-cache.ts';
import { messageOf, ShoalError } from '../src/util/errors.ts';
import { createLogger } from '../src/util/log.ts';
import { systemRandom } from '../src/util/random.ts';

const exitFailed = 1;
const exitUsage = 2;

/** `shoal daemon`: runs until it is told to end (SIGTERM, SIGINT), and gives the exit code. */
export async function daemon(argv: string[]): Promise<number> {
  let endShells = () => {};
  try {
    const options = parseDaemonOptions(argv);
    if (!options) {
      process.stdout.write(daemonHelp);
      return 0;
    }
    const writeLine = (line: string) => process.stderr.write(line.endsWith('\n') ? line : `${line}\n`);
    const log = createLogger({ level: options.logLevel, now: () => systemClock.now(), write: writeLine });
    process.on('uncaughtExceptionMonitor', (error) => {
      log.error('the daemon fails and ends', { error: messageOf(error), stack: error.stack });
    });
    const lock = lockState(options.stateDirectory, options.runDirectory);
    protectFromOutOfMemory(log);
    endShells = keepShells();
    const running = new Daemon({ ...options, clock: systemClock, random: systemRandom, log, writeLine });
    const ended = endAsked();
    await running.start();
    keepCompiled();
    log.info('the daemon runs', { stateDirectory: options.stateDirectory, pid: process.pid });
    log.info('the daemon ends', { reason: await ended });
    await running.stop();
    lock.release();
    return 0;
  } catch (error) {
    const next = error instanceof ShoalError && error.next !== undefined ? `\n${error.next}` : '';
    process.stderr.write(`${messageOf(error)}${next}\n`);
    const usage = error instanceof ShoalError && error.code === 'invalid_argument';
    return usage ? exitUsage : exitFailed;
  } finally {
    endShells();
  }
}

/** Resolves with why we are to end: a signal, or the end of the process that started us with a channel. */
function endAsked(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
      process.once(signal, () => resolve(signal));
    process.once('disconnect', () => resolve('the process that started the daemon has ended'));
  });
}
