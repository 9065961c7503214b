import http from 'node:http';
import { systemClock } from '../../src/util/clock.ts';
import { messageOf } from '../../src/util/errors.ts';

/** What the guestbook's `web` answers to `GET /`. */
export interface Visit {
  replica: string;
  version: string;
  visits: number;
}

/** A request that takes longer has failed. */
export const requestLimitMs = 5_000;
/** Failures beyond these are counted, but not kept. */
const failuresKept = 1_000;
/** Of those that are kept so many are told. */
const failuresTold = 20;

/** One GET on a connection of its own. Throws on anything but status 200 and a JSON body. */
export async function getJson<T>(url: string, limitMs = requestLimitMs): Promise<T> {
  const text = await new Promise<string>((resolve, reject) => {
    const options = { agent: false, signal: AbortSignal.timeout(limitMs) };
    const request = http.get(url, options, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => {
        const body = Buffer.concat(chunks).toString();
        if (answer.statusCode === 200) resolve(body);
        else reject(new Error(`status ${answer.statusCode}: ${body.slice(0, 200)}`));
      });
    });
    request.on('error', reject);
  });
  return JSON.parse(text) as T;
}

export interface LoadResult {
  requests: number;
  failed: number;
  /** The first failures, with when (ms since the load began) and where. */
  failures: string[];
  /** Answers by version and by replica. */
  versions: Map<string, number>;
  replicas: Map<string, number>;
}

/** A request that was answered badly or not at all; times are monotonic ms. */
export interface LoadFailure {
  beganMs: number;
  endedMs: number;
  url: string;
  message: string;
}

/** Requests without end: every client goes round the addresses, one request after another, each on its own connection. */
export class Load {
  readonly #result = {
    requests: 0,
    failed: 0,
    versions: new Map<string, number>(),
    replicas: new Map<string, number>(),
  };
  readonly #failures: LoadFailure[] = [];
  readonly #startedMs = systemClock.monotonic();
  readonly #clients: Promise<void>[];
  readonly #skipped = new Set<string>();
  #stopping = false;

  /** `pauseMs`: between one client's requests. */
  constructor(urls: string[], clients: number, pauseMs = 5) {
    this.#clients = Array.from({ length: clients }, (_, index) => this.#run(urls, index, pauseMs));
  }

  /** Asks that address no more until it is to be asked again: its host is away. One at least must be left. */
  skip(url: string, skipped: boolean): void {
    if (skipped) this.#skipped.add(url);
    else this.#skipped.delete(url);
  }

  /** The failures since this was asked last, oldest first. */
  takeFailures(): LoadFailure[] {
    return this.#failures.splice(0);
  }

  /** How many requests have been answered so far, well or badly. */
  get requests(): number {
    return this.#result.requests;
  }

  /** Ends when the requests under way have been answered. */
  async stop(): Promise<LoadResult> {
    this.#stopping = true;
    await Promise.all(this.#clients);
    const failures = this.#failures
      .slice(0, failuresTold)
      .map(({ endedMs, url, message }) => `${Math.round(endedMs - this.#startedMs)} ms: ${url}: ${message}`);
    return { ...this.#result, failures };
  }

  async #run(urls: string[], start: number, pauseMs: number): Promise<void> {
    for (let turn = start; !this.#stopping; turn++) {
      const url = urls[turn % urls.length]!;
      if (this.#skipped.has(url)) continue;
      const beganMs = systemClock.monotonic();
      try {
        const { version, replica } = await getJson<Visit>(url);
        count(this.#result.versions, version);
        count(this.#result.replicas, replica);
      } catch (error) {
        this.#result.failed++;
        if (this.#failures.length < failuresKept) {
          const endedMs = systemClock.monotonic();
          this.#failures.push({ beganMs, endedMs, url, message: messageOf(error) });
        }
      }
      this.#result.requests++;
      await systemClock.sleep(pauseMs);
    }
  }
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
