import { describe, expect, it } from 'vitest';
import { faultsOf, load, loadPrinted } from './fixtures.ts';

/** Services of which each depends on the one before it; the first says what is given. */
function chain(count: number, first: string, each = ''): string {
  const services = Array.from({ length: count - 1 }, (_, index) => {
    return `  s${index + 1}: { image: a, ${each}depends_on: [s${index}] }`;
  });
  return `services:\n  s0: { image: a, ${each}${first} }\n${services.join('\n')}\n`;
}

const circle = /^the services depend on each other in a circle: s0 -> s\d+ -> .* -> s1 -> s0$/u;

describe('a project with a circle and other faults', () => {
  const faults = async (count: number) =>
    (await faultsOf(chain(count, `depends_on: [s${count - 1}], networks: [none], imagee: b`))).map(
      ({ path, message }) => `${path}: ${message}`,
    );

  it('is told all of them at once', async () => {
    expect(await faults(900)).toEqual([
      expect.stringMatching(/^services\.s0\.networks\.none: no network/u),
      'services.s0.imagee: this key is not known',
      expect.stringMatching(/^services\.s1\.depends_on\.s0: .* in a circle/u),
    ]);
  });

  it('is told of the circle first, and of it alone, when it is large', async () => {
    expect(await faults(1100)).toEqual([
      expect.stringMatching(/^services\.s1\.depends_on\.s0: .* in a circle/u),
    ]);
  });
});

describe('a large project', () => {
  it('is told of a circle in the same words as any other, at the same service', async () => {
    for (const count of [30, 1100]) {
      const [fault, ...others] = await faultsOf(chain(count, `depends_on: [s${count - 1}]`));
      expect(others).toEqual([]);
      expect(fault).toMatchObject({ line: 3, path: 'services.s1.depends_on.s0' });
      expect(fault!.message).toMatch(circle);
    }
  });

  it('loads when those that depend on each other are not active', async () => {
    const profiles = 'profiles: [none], ';
    const { application } = await load(
      `${chain(1100, 'depends_on: [s1099]', profiles)}  web: { image: a }\n`,
    );
    expect(application.services.map(({ key }) => key)).toEqual(['web']);
  });

  it('loads when what it depends on is not active and need not be, and when it is long', async () => {
    const optional = 'depends_on: { gone: { condition: service_started, required: false } }';
    const gone = '  gone: { image: a, profiles: [none], depends_on: [s1] }\n';
    expect((await load(chain(1100, optional) + gone)).application.services).toHaveLength(1100);
  });

  it('is printed with its circle when nobody asks for consistency', async () => {
    const text = chain(1100, 'depends_on: [s1099]');
    const { canonical } = await loadPrinted(text, { skipConsistency: true });
    expect(Object.keys(canonical.services['s0']!.depends_on!)).toEqual(['s1099']);
  });
});
