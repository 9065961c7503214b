import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { renderDiagnostics, type Diagnostic } from './diagnostic.ts';
import { load } from './fixtures.ts';
import { renderCanonical } from './render.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const golden = (name: string) => here(`./golden/${name}`);

/** The files of a folder as if they lay in /app. */
function filesOf(directory: string): Record<string, Uint8Array> {
  const names = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(names.map(({ name }) => [`/app/${name}`, readFileSync(`${directory}/${name}`)]));
}

const samples = readdirSync(here('../../samples'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

/** Changed on purpose? `vitest run --project unit src/compose/golden -u` writes them again. */
describe('the golden files hold', () => {
  it.each(samples)('what the sample %s comes to, also when it is read again', async (name) => {
    const disk = filesOf(here(`../../samples/${name}`));
    const { canonical, application, warnings } = await load('', { disk, files: [] });
    expect(warnings).toEqual([]);
    const rendered = renderCanonical(canonical, 'yaml');
    await expect(rendered).toMatchFileSnapshot(golden(`samples/${name}.yaml`));
    const again = await load(rendered, { disk: { ...disk, '/app/compose.yaml': rendered } });
    expect(again.canonical).toEqual(canonical);
    expect(again.application).toEqual(application);
  });

  it('what a file with a bit of everything comes to, as YAML, as JSON and as specs', async () => {
    const text = readFileSync(golden('rich.compose.yaml'), 'utf8');
    const disk = { '/app/pw.txt': 's3cret', '/app/.env': 'TAG=8' };
    const { canonical, application } = await load(text, { disk });
    await expect(renderCanonical(canonical, 'yaml')).toMatchFileSnapshot(golden('rich.config.yaml'));
    await expect(renderCanonical(canonical, 'json')).toMatchFileSnapshot(golden('rich.config.json'));
    await expect(`${JSON.stringify(application, undefined, 2)}\n`).toMatchFileSnapshot(
      golden('rich.specs.json'),
    );
  });

  it('all that is said about a file full of errors', async () => {
    const text = readFileSync(golden('faulty.compose.yaml'), 'utf8');
    const error: unknown = await load(text, { environment: { TAG: '8' } }).catch((fault: unknown) => fault);
    const { details } = error as { details: Diagnostic[] };
    await expect(`${renderDiagnostics(details)}\n`).toMatchFileSnapshot(golden('faulty.txt'));
  });
});
