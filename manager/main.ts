import { systemClock } from '../src/util/clock.ts';
import { keepCompiled } from '../src/util/compile-cache.ts';
import { codeOf, messageOf, ShoalError } from '../src/util/errors.ts';
import { createLogger } from '../src/util/log.ts';
import { systemRandom } from '../src/util/random.ts';
import { startManager } from './manager.ts';
import { createOpening } from './opening.ts';
import { parseManagerOptions } from './options.ts';
import { openSealer } from './sealing/key-file.ts';

/**
 * The manager's process. Started by the daemon, `node manager/main.ts --state DIR --run DIR --listen ADDRESS:PORT
 * --advertise ADDRESS [--init JSON]`, with an IPC channel on which it says `{ type: 'opening', what }` while it waits for others,
 * and then `{ type: 'ready', port }` or `{ type: 'failed', code, message }`. Answers each message with `{ type: 'alive' }`, for then its main loop turns. Ends on SIGTERM, and when the channel closes, for then its daemon has died.
 */
const stopMsMax = 5_000;

type Report =
  | { type: 'ready'; port: number }
  | { type: 'alive' }
  | { type: 'opening'; what: string }
  | { type: 'failed'; code: string; message: string };

function report(message: Report): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve();
    else process.send(message, undefined, undefined, () => resolve());
  });
}

async function main(): Promise<void> {
  const options = parseManagerOptions(process.argv.slice(2));
  const log = createLogger({
    level: options.logLevel,
    now: () => systemClock.now(),
    write: (line) => process.stderr.write(line),
    fields: { process: 'manager' },
  });
  const asked = Promise.withResolvers<string>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => asked.resolve(signal));
  if (process.send !== undefined) process.on('disconnect', () => asked.resolve('the daemon has gone'));
  process.on('message', () => void report({ type: 'alive' }));
  const stopping = new AbortController();
  void asked.promise.then((why) => stopping.abort(new ShoalError('unavailable', `Cannot go on: ${why}`)));
  const { host, openStore } = createOpening({
    options,
    clock: systemClock,
    log,
    signal: stopping.signal,
    onWait: (what) => void report({ type: 'opening', what }),
  });
  // Without its member it has no store. Started again it asks for another place.
  void host.ended.then((why) => asked.resolve(`its member of etcd was ${why}`));
  const manager = await startManager(options, {
    clock: systemClock,
    random: systemRandom,
    log,
    host,
    openStore,
    openSealer: (folder, { backend }) => openSealer(folder, { mayCreate: backend === 'embedded', log }),
  });
  keepCompiled();
  log.info('manager is ready', { port: manager.port });
  await report({ type: 'ready', port: manager.port });
  log.info('manager stops', { why: await asked.promise });
  systemClock.after(stopMsMax, () => process.exit(1));
  await manager.stop();
  await host.stop();
}

try {
  await main();
  process.exit(0);
} catch (error) {
  const message = messageOf(error);
  process.stderr.write(`${JSON.stringify({ level: 'error', message, process: 'manager' })}\n`);
  await report({ type: 'failed', code: codeOf(error), message });
  process.exit(1);
}
