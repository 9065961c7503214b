import { describe, expect, it } from 'vitest';
import type { ServiceSpec } from '../spec/service.ts';
import { canonicalRows, disk, specRows, surroundings, topLevelRows } from './attribute-rows.ts';
import { expectAttributes, load } from './fixtures.ts';
import type { CanonicalService } from './model.ts';
import { using } from './table-text.ts';

async function one(attribute: string): Promise<{ canonical: CanonicalService; spec: ServiceSpec }> {
  const text = `name: app\nservices:\n  db: { image: redis }\n  web:\n    image: nginx\n    ${attribute}\n${surroundings}`;
  const { application, canonical } = await load(text, { disk, environment: { FROM: 'outside' } });
  return {
    canonical: canonical.services['web']!,
    spec: application.services.find(({ key }) => key === 'web')!,
  };
}

describe('each attribute of a service, as canonical form:', () => {
  it.each(canonicalRows)('%s', async (attribute, expected) => {
    const { canonical } = await one(attribute);
    expectAttributes(canonical, expected);
  });
});

describe('each attribute of a service, as spec:', () => {
  it.each(specRows)('%s', async (attribute, expected) => {
    const { spec } = await one(attribute);
    expect(spec).toMatchObject(expected);
    if (attribute.includes('pids: 0')) expect(spec.task.limits).toEqual({});
    if (attribute.includes('required: false')) expect(spec.dependsOn).toEqual([]);
  });
});

describe('each top-level attribute:', () => {
  it.each(topLevelRows)('%s', async (attribute, expected) => {
    const { application } = await load(using(attribute), { disk, environment: { FROM: 'outside' } });
    expect(application).toMatchObject(expected);
  });
});
