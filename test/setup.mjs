// Makes a fresh machine ready and then runs the asked-for entry under this project's own Node:
//
//     node test/setup.mjs demo|test|check|hosts|bench|fuzz|peer ARGS…
//
// Plain JavaScript for Node 20 or later, without any dependency, because it runs before there is any.
// It says what it does on stderr, so that stdout belongs to what it runs.
import { spawn, spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { constants as osConstants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const parentCheckMs = 1_000;
const projectNode = join(root, 'node_modules/.bin/node');

/** Programs that real hosts need, with the Debian package that has each. */
const programs = {
  containerd: 'containerd',
  runc: 'runc',
  nft: 'nftables',
  ip: 'iproute2',
  'docker-registry': 'docker-registry',
  'redis-server': 'redis-server',
  busybox: 'busybox-static',
  etcd: 'etcd-server',
  tini: 'tini', // the first process of a container with `init: true`
};

/** Services that those packages would start, now or at the next boot. */
const services = {
  containerd: 'containerd',
  'docker-registry': 'docker-registry',
  'redis-server': 'redis-server',
  'etcd-server': 'etcd',
};

/** `hosts`: whether it makes hosts, and so needs the programs above: always, never, or where that is possible. */
const entries = {
  demo: { path: 'test/demo.ts', hosts: 'always' },
  test: { path: 'test/run.ts', hosts: 'possible' },
  check: { path: 'test/run.ts', args: ['check'], hosts: 'never' },
  hosts: { path: 'test/harness/hosts.ts', hosts: 'always' },
  bench: { path: 'test/bench/main.ts', hosts: 'always' },
  fuzz: { path: 'test/fuzz/main.ts', hosts: 'never' },
  peer: { path: 'test/peer/main.ts', hosts: 'never' },
};

function main() {
  const [name = '', ...args] = process.argv.slice(2);
  const entry = entries[name];
  if (!entry) fail(`Usage: node test/setup.mjs ${Object.keys(entries).join('|')} [ARGUMENT…]`);
  if (Number(process.versions.node.split('.')[0]) < 20) {
    fail(`Cannot run on Node ${process.versions.node}: Node 20 or later is needed.`);
  }
  const isRoot = process.platform === 'linux' && process.getuid() === 0;
  if (entry.hosts === 'always' || (entry.hosts === 'possible' && isRoot)) installPrograms(isRoot);
  installModules();
  run([entry.path, ...(entry.args ?? []), ...args]);
}

function say(line) {
  process.stderr.write(`${line}\n`);
}

function fail(line) {
  say(line);
  process.exit(1);
}

function isOnPath(program) {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false; // not in this folder: the next one is looked at
    }
  });
}

function installPrograms(isRoot) {
  const missing = Object.keys(programs).filter((program) => !isOnPath(program));
  const wanted = missing.map((program) => programs[program]);
  if (missing.length > 0 && !(isRoot && isOnPath('apt-get'))) {
    say(`Missing on this machine: ${missing.join(', ')}.`);
    if (process.platform !== 'linux') fail('Hosts can only be made on Linux.');
    if (isOnPath('apt-get')) fail(`Run it as root, or: sudo apt-get install ${wanted.join(' ')}`);
    fail(`Install them with this system's package manager (Debian's packages: ${wanted.join(' ')}).`);
  }
  if (!isRoot) fail('Cannot make hosts: this needs root on Linux.');
  if (missing.length > 0) installPackages(wanted);
}

/** Installs Debian packages, and starts nothing that they bring, neither now nor at the next boot. */
function installPackages(wanted) {
  say(`Installing ${wanted.join(', ')} with apt-get …`);
  const policy = '/usr/sbin/policy-rc.d'; // asked by every package before it starts a service; 101 forbids
  const kept = `${policy}.before-shoal`;
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  const onSignal = () => undefined; // apt-get gets the signal too; the policy must be put back either way
  for (const signal of signals) process.on(signal, onSignal);
  if (existsSync(policy) && !existsSync(kept)) renameSync(policy, kept);
  writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  let failed;
  try {
    failed = [
      ['update', '-q'],
      ['install', '-y', '-q', '--no-install-recommends', ...wanted],
    ].find((args) => !runToStderr('apt-get', ['-o', 'DPkg::Lock::Timeout=120', ...args]));
    for (const service of wanted.map((name) => services[name]).filter((name) => name !== undefined)) {
      if (isOnPath('systemctl')) runToStderr('systemctl', ['disable', '--quiet', service]);
    }
  } finally {
    rmSync(policy);
    if (existsSync(kept)) renameSync(kept, policy);
    for (const signal of signals) process.off(signal, onSignal);
  }
  if (failed) fail(`Cannot install: apt-get ${failed[0]} failed, see above.`);
}

function runToStderr(program, args) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  return spawnSync(program, args, { cwd: root, env, stdio: ['ignore', 2, 2] }).status === 0;
}

function installModules() {
  const installed = join(root, 'node_modules/.package-lock.json');
  const lock = statSync(join(root, 'package-lock.json'));
  if (existsSync(projectNode) && existsSync(installed) && statSync(installed).mtimeMs >= lock.mtimeMs) return;
  say('Installing the npm packages of package-lock.json (npm ci) …');
  if (!runToStderr('npm', ['ci'])) fail('Cannot install: npm ci failed, see above.');
  const { version } = JSON.parse(readFileSync(join(root, 'node_modules/node/package.json'), 'utf8'));
  if (!existsSync(projectNode)) fail(`Cannot run: npm ci left no Node ${version} in node_modules/.bin.`);
}

/** Runs the entry in a child with this process's terminal; signals and the exit code pass through. */
function run(args) {
  const env = {
    ...process.env,
    PATH: `${join(root, 'node_modules/.bin')}:${process.env.PATH ?? ''}:/usr/sbin:/sbin`,
  };
  const child = spawn(projectNode, [join(root, args[0]), ...args.slice(1)], { stdio: 'inherit', env });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  const parent = process.ppid;
  setInterval(() => process.ppid === parent || child.kill('SIGTERM'), parentCheckMs); // npm was killed: end as well
  child.on('error', (error) => fail(`Cannot run ${projectNode}: ${error.message}`));
  child.on('exit', (code, signal) => process.exit(code ?? 128 + osConstants.signals[signal]));
}

main();
