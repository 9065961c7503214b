import { describe, expect, test } from 'vitest';
import { sampleService } from '../../test/samples.ts';
import { specDifferences } from './difference.ts';
import type { ContainerSpec, ServiceSpec, TaskTemplate } from './service.ts';

const { spec } = sampleService('web');
const withTask = (task: Partial<TaskTemplate>): ServiceSpec => ({ ...spec, task: { ...spec.task, ...task } });
const withContainer = (container: Partial<ContainerSpec>): ServiceSpec =>
  withTask({ container: { ...spec.task.container, ...container } });
const port = { target: 80, published: 8080, protocol: 'tcp', mode: 'ingress' } as const;

const rows: [what: string, from: ServiceSpec, to: ServiceSpec, lines: string[]][] = [
  ['nothing', spec, structuredClone(spec), []],
  [
    'replicas',
    { ...spec, mode: { kind: 'replicated', replicas: 6 } },
    { ...spec, mode: { kind: 'replicated', replicas: 3 } },
    ['deploy.replicas: 6 → 3'],
  ],
  [
    'from replicas to all nodes',
    { ...spec, mode: { kind: 'replicated', replicas: 6 } },
    { ...spec, mode: { kind: 'global' } },
    ['deploy.mode: replicated → global', 'deploy.replicas: 6 → (none)'],
  ],
  ['the image', withContainer({ image: 'a:1' }), withContainer({ image: 'a:2' }), ['image: a:1 → a:2']],
  [
    'variables, without their values',
    withContainer({ environment: { A: 'secret', B: '1', 'C.D': '1' } }),
    withContainer({ environment: { B: 'secret', 'C.D': '1', E: 'secret' } }),
    ['environment.A removed', 'environment.B changed', 'environment.E added'],
  ],
  ['a command', spec, withContainer({ command: ['sh', '-c', 'x'.repeat(100)] }), ['command changed']],
  ['a command that is short', spec, withContainer({ command: ['true'] }), ['command: (none) → ["true"]']],
  [
    'ports',
    { ...spec, ports: [port] },
    { ...spec, ports: [{ ...port, published: 8081 }] },
    ['ports: - 8080:80/tcp + 8081:80/tcp'],
  ],
  [
    'limits',
    spec,
    withTask({ limits: { memoryBytes: 2 ** 29, nanoCpus: 5e8 } }),
    ['deploy.resources.limits.memory: (none) → 512 MiB', 'deploy.resources.limits.cpus: (none) → 0.5'],
  ],
  [
    'times',
    withContainer({ stopGracePeriodMs: 10_000 }),
    withContainer({ stopGracePeriodMs: 1_500 }),
    ['stop_grace_period: 10s → 1500ms'],
  ],
  [
    'mounts',
    spec,
    withContainer({ mounts: [{ type: 'volume', source: 'app_data', target: '/data', readOnly: true }] }),
    ['volumes: + app_data:/data:ro'],
  ],
  [
    'networks that are the same by name',
    withTask({ networks: [{ name: 'app_a', aliases: [] }] }),
    withTask({ networks: [{ name: 'app_a', aliases: ['x'] }] }),
    ['networks changed'],
  ],
  ['a restart', spec, withTask({ forceUpdate: 7 }), []],
  [
    'labels of both kinds',
    spec,
    { ...withContainer({ labels: { 'a.b': '1' } }), labels: { c: '2' } },
    ['deploy.labels.c: (none) → 2', 'labels.a.b: (none) → 1'],
  ],
];

describe('what changes of a service is told by the names of a Compose file:', () => {
  test.each(rows)('%s', (_, from, to, lines) => {
    expect(specDifferences(from, to).sort()).toEqual(lines.sort());
  });

  test('a service of which very much changes is told in part', () => {
    const environment = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`V${index}`, '1']));
    const lines = specDifferences(spec, withContainer({ environment }));
    expect(lines).toHaveLength(13);
    expect(lines.at(-1)).toBe('and 88 more');
  });
});
