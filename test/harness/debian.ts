import { createHash } from 'node:crypto';
import {
  access,
  constants,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/util/clock.ts';
import { runCommand } from '../../src/util/command.ts';
import { ShoalError } from '../../src/util/errors.ts';
import { packLayer, type Layer } from './image.ts';

/**
 * Layers made of Debian packages, without a container: apt resolves each set of packages as if nothing were installed,
 * fetches what is not in the cache, and the files of the packages are unpacked into a layer. No script of a package runs,
 * so an image brings its own accounts, settings and first steps. Nothing on this machine is installed or changed.
 *
 * The cache holds packages by the name that has their version in it, and layers by what they are made of.
 */

/** Enough for scripts: a shell and the usual programs. It is the lowest layer of every image. */
const basePackages = ['bash', 'coreutils', 'dash', 'findutils', 'grep', 'hostname', 'sed'];

/** Of a package's dependencies, what only its scripts use, or what none of the images here comes to. */
const leftPackages = new RegExp(
  `^(${[
    'adduser|debconf|dpkg|gcc-.*-base|init-system-helpers|passwd|sensible-utils|systemd|libsystemd-shared|tar|ucf|usrmerge',
    'perl|perl-.*|libperl.*|lib.*-perl|python3.*|libpython3.*|media-types|mailcap',
    'libpam-modules.*|libpam-runtime|libsemanage.*|libsepol.*|ssl-cert|openssl|dbconfig-.*',
    'libllvm.*|libz3-.*', // compiles queries of PostgreSQL that take long
    'libaom.*|libdav1d.*|libgav1-.*|librav1e.*|libsvtav1enc.*|libx265-.*|libheif.*|libde265-.*', // pictures
    'libx11-data|libx11-.*|libxpm.*|fontconfig.*|libfontconfig.*|fonts-.*',
  ].join('|')})$`,
);

/** Never read in a container. */
const leftPaths = [
  'usr/share/doc',
  'usr/share/man',
  'usr/share/info',
  'usr/share/locale',
  'usr/share/lintian',
  'usr/share/bug',
];

/** Changes when the way in which layers are made does, so that those made in the old way are not taken. */
const layerVersion = 1;

/** What the cache consists of. */
const folders = ['closures', 'packages', 'layers'];
const aptLists = '/var/lib/apt/lists';

const aptLimitMs = 300_000;
const unpackLimitMs = 120_000;
const unusedDaysMax = 7;
const dayMs = 24 * 3600 * 1000;

interface Package {
  name: string;
  /** `NAME_VERSION_ARCHITECTURE.deb`, as apt names it. */
  file: string;
}

export interface DebianSet {
  packages: string[];
  /** Paths that are left out, for their size: without a leading `/`, `*` for anything. */
  without?: string[];
}

/** Why no layers can be made of Debian packages on this machine; undefined when they can. */
export async function whyNoDebian(): Promise<string | undefined> {
  if (!(await canRead('/etc/debian_version')))
    return 'it needs Debian, whose packages the images are made of';
  return (await canRead('/usr/bin/apt-get')) ? undefined : 'it needs apt-get, to fetch Debian packages';
}

/**
 * Makes the layers of several sets of packages: for each set the base and what it has more than the base. Throws
 * `unavailable` when apt can neither find nor fetch the packages.
 */
export async function debianLayers<Name extends string>(
  sets: Record<Name, DebianSet>,
): Promise<Record<Name, Layer[]>> {
  const names = Object.keys(sets) as Name[];
  if (names.length === 0) return {} as Record<Name, Layer[]>;
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'shoal-test');
  for (const folder of folders) await mkdir(join(cache, folder), { recursive: true });
  const { base, closures } = await withFreshLists(async () => {
    const base = await closureOf(cache, basePackages);
    const closures = await Promise.all(names.map((name) => closureOf(cache, sets[name].packages)));
    await fetchPackages(cache, [base, ...closures].flat());
    return { base, closures };
  });
  const inBase = new Set(base.map(({ file }) => file));
  const baseLayer = await layerOf(cache, base, []);
  const layers = {} as Record<Name, Layer[]>;
  for (const [index, name] of names.entries()) {
    const own = closures[index]!.filter(({ file }) => !inBase.has(file));
    layers[name] = [baseLayer, await layerOf(cache, own, sets[name].without ?? [])];
  }
  await prune(cache);
  return layers;
}

async function canRead(path: string): Promise<boolean> {
  return await access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
}

async function apt(args: string[], cwd?: string): Promise<string> {
  const env = { PATH: process.env['PATH'], LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
  return await runCommand('apt-get', ['-q', ...args], {
    timeoutMs: aptLimitMs,
    env,
    ...(cwd === undefined ? {} : { cwd }),
  });
}

/** A machine that has never asked its mirror, or long ago, does so first. */
async function withFreshLists<T>(attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (first) {
    try {
      await apt(['update']);
      return await attempt();
    } catch (cause) {
      throw new ShoalError('unavailable', `Cannot make images of Debian packages: ${String(first)}`, {
        cause,
        next: 'See what `apt-get update` says, and whether the mirror can be reached.',
      });
    }
  }
}

/** The packages with all that they depend on, as on a machine where nothing is installed. */
async function closureOf(cache: string, packages: string[]): Promise<Package[]> {
  const key = digestOf([leftPackages.source, packages, await listsOf(aptLists)]);
  return await remembered(join(cache, 'closures', `${key}.json`), async () => {
    const settings = {
      'Dir::State::status': '/dev/null',
      'Dir::Cache::Archives': '/nonexistent', // or what lies there is not listed
      'Debug::NoLocking': '1',
      'APT::Install-Recommends': '0',
    };
    const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    const listed = await apt([...options, '--print-uris', '-y', 'install', ...packages]);
    // "'http://MIRROR/…/bash_5.2.15-2%2bb13_amd64.deb' bash_5.2.15-2+b13_amd64.deb 1490704 SHA256:…"
    return [...listed.matchAll(/^'\S+' ((\S+?)_\S+\.deb) \d+ /gm)]
      .map(([, file = '', name = '']) => ({ file, name }))
      .filter(({ name }) => !leftPackages.test(name));
  });
}

/** What changes when apt has asked its mirrors anew. */
async function listsOf(directory: string): Promise<unknown[]> {
  const names = (await readdir(directory).catch((): string[] => [])).sort();
  return await Promise.all(
    names.map(async (name) => {
      const found = await stat(join(directory, name)).catch(() => undefined); // apt may be replacing it
      return [name, found?.size, found?.mtimeMs];
    }),
  );
}

const digestOf = (value: unknown) => createHash('sha256').update(JSON.stringify(value)).digest('hex');

/** What the file at `path` holds; made, and kept there, when it is not there yet. Marks the file as used. */
async function remembered<T>(path: string, make: () => Promise<T>): Promise<T> {
  const known = await readFile(path, 'utf8').catch(() => undefined);
  const value = known === undefined ? await make() : (JSON.parse(known) as T);
  if (known === undefined) {
    await writeFile(`${path}.${process.pid}`, JSON.stringify(value));
    await rename(`${path}.${process.pid}`, path);
  }
  await touch([path]);
  return value;
}

async function touch(paths: string[]): Promise<void> {
  const now = systemClock.now() / 1000;
  for (const path of paths) await utimes(path, now, now);
}

/** Fetches the packages that the cache lacks; apt checks each against its signed list. */
async function fetchPackages(cache: string, packages: Package[]): Promise<void> {
  const present = new Set(await readdir(join(cache, 'packages')));
  const missing = new Map(packages.filter(({ file }) => !present.has(file)).map((each) => [each.file, each]));
  if (missing.size === 0) return;
  const work = await mkdtemp(join(cache, 'packages', 'fetch-'));
  try {
    const wanted = [...missing.values()].map(
      ({ name, file }) => `${name}=${decodeURIComponent(file.split('_')[1]!)}`,
    );
    await apt(['download', ...wanted], work);
    for (const file of missing.keys()) await rename(join(work, file), join(cache, 'packages', file));
  } finally {
    await rm(work, { recursive: true });
  }
}

/** One layer of the files of all packages, from the cache when it has been made before. */
async function layerOf(cache: string, packages: Package[], without: string[]): Promise<Layer> {
  const files = packages.map(({ file }) => file).sort();
  const left = [...leftPaths, ...without];
  const paths = files.map((file) => join(cache, 'packages', file));
  const layer = await remembered(join(cache, 'layers', `${digestOf([layerVersion, files, left])}.json`), () =>
    unpack(join(cache, 'layers'), paths, left),
  );
  await touch([layer.blob.path, ...paths]);
  return layer;
}

async function unpack(directory: string, packages: string[], without: string[]): Promise<Layer> {
  const work = await mkdtemp(join(directory, 'unpack-'));
  try {
    const root = join(work, 'root');
    // Packages still name files in /bin and /lib, which lie in /usr: the links must be there first, and stay.
    const script = `
      set -ef
      root=$1; excludes=$2; shift 2
      mkdir -p "$root/usr" "$root/var"
      ln -s /run "$root/var/run"
      for folder in bin sbin lib lib64; do mkdir "$root/usr/$folder"; ln -s "usr/$folder" "$root/$folder"; done
      for package; do
        dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --keep-directory-symlink $excludes
      done`;
    const excludes = without.map((path) => `--exclude=./${path}`).join(' ');
    await runCommand('sh', ['-c', script, 'unpack', root, excludes, ...packages], {
      timeoutMs: unpackLimitMs,
    });
    return await packLayer(directory, root, { compression: 'none', format: 'oci' });
  } finally {
    await rm(work, { recursive: true });
  }
}

/** Removes what nobody has used for a while, such as packages of which there is a newer version. */
async function prune(cache: string): Promise<void> {
  const before = systemClock.now() - unusedDaysMax * dayMs;
  for (const folder of folders.map((name) => join(cache, name))) {
    for (const name of await readdir(folder)) {
      const path = join(folder, name);
      const found = await stat(path).catch(() => undefined); // another run may have removed it
      if (found && found.mtimeMs < before) await rm(path, { recursive: true, force: true });
    }
  }
}
