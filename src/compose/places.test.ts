import { describe, expect, it } from 'vitest';
import { faultsOf, load, summary } from './fixtures.ts';

/**
 * Which paths may lead where. Files that the command reads may be anywhere, as for docker compose: whoever runs it can
 * read them anyway. Names and paths that reach the hosts stay where they belong.
 */

const disk = { '/elsewhere/a': 'A=1', '/elsewhere/b.yaml': 'services: { base: { image: b } }' };
const rest = 'volumes: { data: }\nsecrets: { s: { file: ../elsewhere/a } }\nconfigs: { c: { content: x } }';
const of = (attribute: string) => `services: { web: { image: nginx, ${attribute} } }\n${rest}`;

describe('a file that the command reads may be anywhere:', () => {
  it.each([
    ['env_file', of('env_file: ../elsewhere/a')],
    ['label_file', of('label_file: /elsewhere/a')],
    ['a secret', of('secrets: [s]')],
    ['extends', of('extends: { file: ../elsewhere/b.yaml, service: base }')],
    ['include', `include: [../elsewhere/b.yaml]\n${of('')}`],
  ])('%s', async (_, text) => {
    await load(text, { disk });
  });
});

describe('a path in the container is one below its root:', () => {
  const targetsOf = async (attribute: string) => {
    const { application } = await load(of(attribute), { disk });
    const { secrets, configs, mounts } = application.services[0]!.task.container;
    return [...secrets, ...configs, ...mounts].map(({ target }) => target);
  };

  it.each([
    ['secrets: [{ source: s, target: ../../etc/key }]', '/etc/key'],
    ['secrets: [{ source: s, target: ../../../../../key }]', '/key'],
    ['secrets: [{ source: s, target: keys/./key }]', '/run/secrets/keys/key'],
    ['configs: [{ source: c, target: ../../etc/page }]', '/etc/page'],
    ['configs: [{ source: c, target: /etc//page }]', '/etc/page'],
    ['volumes: ["data:/a/../../../b"]', '/b'],
  ])('%s is at %s', async (attribute, target) => {
    expect(await targetsOf(attribute)).toEqual([target]);
  });

  it.each([
    ['volumes: ["data:/"]', /nothing can be mounted over the root/u],
    ['volumes: ["data:/a/.."]', /nothing can be mounted over the root/u],
    ['tmpfs: ["/"]', /nothing can be mounted over the root/u],
    ['secrets: [{ source: s, target: / }]', /nothing can be mounted over the root/u],
    ['secrets: [{ source: s, target: "" }]', /target: "" cannot be used here/u],
    [
      'secrets: [{ source: s, target: "a\\nb" }]',
      /target: .* cannot be used here; it must be the path of a file in the container/u,
    ],
    [
      'volumes: ["data:/a\\nb"]',
      /target: .* cannot be used here; it must be an absolute path in the container/u,
    ],
    ['working_dir: "/a\\x1b"', /working_dir: .* cannot be used here/u],
    ['secrets: [{ source: s, target: ../../a }, { source: s, target: /a }]', /\/a is taken already/u],
  ])('%s is refused', async (attribute, message) => {
    expect(summary(await faultsOf(of(attribute), { disk })).join('\n')).toMatch(message);
  });
});

describe('a name or path on the hosts stays below where it belongs:', () => {
  it.each([
    [
      'a folder of a volume',
      of('volumes: [{ type: volume, source: data, target: /d, volume: { subpath: ../x } }]'),
    ],
    [
      'a folder of a volume further down',
      of('volumes: [{ type: volume, source: data, target: /d, volume: { subpath: a/../../x } }]'),
    ],
    [
      'an absolute folder of a volume',
      of('volumes: [{ type: volume, source: data, target: /d, volume: { subpath: /x } }]'),
    ],
    ['a control group', of('cgroup_parent: ../up')],
    ['a control group further down', of('cgroup_parent: /a/../../up')],
    ['the name of a project', `name: "../.."\n${of('')}`],
    ['the key of a service', `services: { "../up": { image: a } }`],
    ['the key of a service that is nothing but dots', `services: { "..": { image: a } }`],
    ['the name of a volume', of('').replace('{ data: }', '{ data: { name: ../up } }')],
    ['the name of a network', `${of('')}\nnetworks: { n: { name: ../up } }`],
    ['the name of a secret', of('').replace('{ s: { file', '{ s: { name: ../up, file')],
    ['the name of an image', 'services: { web: { image: "../up" } }'],
    ['the name of a host', of('hostname: ../up')],
  ])('%s', async (_, text) => {
    const faults = await faultsOf(text, { disk });
    for (const { line } of faults) expect(line).toBeGreaterThan(0);
  });

  it('a volume without a definition is no path', async () => {
    const [fault] = await faultsOf(of('volumes: ["a/../../etc:/d"]'), { disk });
    expect(fault!.message).toBe('no volume is called a/../../etc');
  });

  it('a key of dots alone makes no name that leads anywhere', async () => {
    const used =
      'volumes: [{ type: volume, source: ".", target: /a }, { type: volume, source: "..", target: /b }]';
    const { canonical } = await load(of(used).replace('volumes: { data: }', 'volumes: { "..": , ".": }'), {
      disk,
    });
    expect(Object.values(canonical.volumes!).map(({ name }) => name)).toEqual(['app_.', 'app_..']);
  });
});
