import { describe, expect, it } from 'vitest';
import { codeOf } from '../util/errors.ts';
import { faultsOf, load, loadPrinted, summary } from './fixtures.ts';

const withAttribute = (attribute: string) => `services:\n  web:\n    image: nginx\n    ${attribute}\n`;

async function warningsOf(attribute: string): Promise<string[]> {
  return summary((await loadPrinted(withAttribute(attribute))).warnings);
}

describe('what Shoal does not run', () => {
  const limited = withAttribute('storage_opt: { size: 1g }');

  it('is an error with its place when the application is to be run, with a code of its own', async () => {
    const error: unknown = await load(limited).catch((fault: unknown) => fault);
    expect(codeOf(error)).toBe('not_supported');
    expect((error as Error).message).toBe(
      'Cannot run compose.yaml: one place asks for what Shoal does not do',
    );
    expect(summary(await faultsOf(limited))).toEqual([
      '4:5 services.web.storage_opt: not supported yet; the file systems of containers cannot be limited: overlayfs has no quotas; write to a tmpfs with a size, or to a volume',
    ]);
  });

  it('is a warning when the application is to be printed, and stays in the model', async () => {
    const { canonical, warnings } = await loadPrinted(limited);
    expect(canonical.services['web']).toMatchObject({ storage_opt: { size: '1g' } });
    expect(summary(warnings)).toEqual([
      '4:5 services.web.storage_opt: shoal up refuses this: not supported yet; the file systems of containers cannot be limited: overlayfs has no quotas; write to a tmpfs with a size, or to a volume',
    ]);
  });

  it('is told together with what is wrong, which is an error in both', async () => {
    const both = withAttribute('storage_opt: { size: 1g }\n    user: 5');
    const paths = ['services.web.storage_opt', 'services.web.user'];
    expect((await faultsOf(both)).map(({ path }) => path)).toEqual(paths);
    const error: unknown = await loadPrinted(both).catch((fault: unknown) => fault);
    expect(codeOf(error)).toBe('invalid_file');
  });

  it('is refused by its value where some values are run', async () => {
    expect(await warningsOf('network_mode: bridge')).toEqual([
      expect.stringMatching(
        /^4:19 services.web.network_mode: shoal up refuses this: "bridge" cannot be used here; it must be none, host or service:NAME/u,
      ),
    ]);
    expect(await warningsOf('sysctls: { kernel.pid_max: 5 }')).toEqual([
      expect.stringMatching(/^4:16 services.web.sysctls.kernel.pid_max: .* cannot be used as a name here/u),
    ]);
  });

  it('is not refused where it asks for nothing', async () => {
    for (const nothing of ['use_api_socket: false', 'links: []\n    storage_opt: {}']) {
      expect(await warningsOf(nothing)).toEqual([]);
      await load(withAttribute(nothing));
    }
  });

  it('is not told of services whose profile is not active', async () => {
    await load(`${withAttribute('user: me')}  other: { image: a, gpus: all, profiles: [debug] }\n`);
  });
});

describe('what is taken although something in it does not happen is warned of:', () => {
  it.each([
    [
      'build: .',
      '4:5 services.web.build: nothing is built: nginx is pulled; build and push it first: docker compose build --push',
    ],
    [
      'develop: { watch: [{ path: ., action: rebuild }] }',
      '4:5 services.web.develop: nothing is watched on a cluster; run docker compose watch where you develop, and give the result to the cluster',
    ],
  ])('%s', async (attribute, expected) => {
    const { warnings } = await load(withAttribute(attribute));
    expect(summary(warnings)).toEqual([expected]);
  });
});

it('a service that is only built has no image to pull', async () => {
  expect(summary(await faultsOf('services: { web: { build: . } }'))).toEqual([
    '1:20 services.web.build: nothing is built, and the service has no image to pull; add image: NAME of a registry, and build and push it first: docker compose build --push',
  ]);
});
