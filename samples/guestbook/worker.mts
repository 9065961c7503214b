import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from './redis.mts';

/** Takes what visitors wrote from the list `inbox` and files it in `entries`, newest first. */

const { STORE_HOST = 'store', STORE_PASSWORD_FILE = '' } = process.env;
const entriesMax = 1_000;
const waitSeconds = 1;
const retryMs = 500;

const store = new Redis({ host: STORE_HOST, passwordFile: STORE_PASSWORD_FILE });
const stopping = new AbortController();

/** An entry is in `working` while it is filed, so that none is lost when this program dies in between. */
async function fileOne(): Promise<void> {
  const entry = await store.command('BLMOVE', 'inbox', 'working', 'LEFT', 'RIGHT', String(waitSeconds));
  if (typeof entry !== 'string') return;
  await store.command('LPUSH', 'entries', entry);
  await store.command('LTRIM', 'entries', '0', String(entriesMax - 1));
  await store.command('LREM', 'working', '1', entry);
  console.log(`filed an entry of ${entry.length} characters`);
}

/** What an earlier worker had begun goes back to the front of the list. */
async function takeBack(): Promise<void> {
  while ((await store.command('LMOVE', 'working', 'inbox', 'RIGHT', 'LEFT')) !== null);
}

async function main(): Promise<void> {
  let begun = false;
  while (!stopping.signal.aborted) {
    try {
      if (!begun) await takeBack();
      begun = true;
      await fileOne();
    } catch (error) {
      console.error(`Cannot reach the store: ${String(error)}`);
      await sleep(retryMs);
    }
  }
  store.close();
}

const stop = () => stopping.abort();
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
console.log('worker started');
await main();
