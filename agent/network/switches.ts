/** The one switch of the whole host that is changed here (sysctl(8)), and how it is put back. Those of bridges go with them. */
import { readFile, rm, writeFile } from 'node:fs/promises';

/** Another one each time that the machine starts (random(4)): what was there before an earlier start says nothing. */
const bootFile = '/proc/sys/kernel/random/boot_id';
const forwardingFile = '/proc/sys/net/ipv4/ip_forward';

/** `forwarding` is the file of the kernel, for tests. */
export class HostSwitches {
  readonly #memory: string;
  readonly #forwarding: string;

  /** `memory`: a file that says what was there before. */
  constructor(memory: string, forwarding = forwardingFile) {
    this.#memory = memory;
    this.#forwarding = forwarding;
  }

  /** Whether the kernel passes packets on. */
  async isForwarding(): Promise<boolean> {
    return (await this.#read()) === '1';
  }

  /** Makes the kernel pass packets on, and remembers that it did not. */
  async forward(): Promise<void> {
    const before = await this.#read();
    if (before === '1') return;
    // On a full disk it stays on when the host leaves.
    await writeFile(this.#memory, `${await bootId()} ${before}\n`, { mode: 0o600 }).catch(() => undefined);
    await writeFile(this.#forwarding, '1');
  }

  /** Puts back what was there before, unless somebody has changed it since. */
  async restore(): Promise<void> {
    const remembered = await readFile(this.#memory, 'utf8').catch(() => ''); // absent: it was on already
    const [boot, before = ''] = remembered.trim().split(' ');
    if (boot === (await bootId()) && (await this.isForwarding())) await writeFile(this.#forwarding, before);
    await rm(this.#memory, { force: true });
  }

  async #read(): Promise<string> {
    return (await readFile(this.#forwarding, 'utf8')).trim();
  }
}

async function bootId(): Promise<string> {
  return (await readFile(bootFile, 'utf8')).trim();
}
