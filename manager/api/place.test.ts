import { expect, test } from 'vitest';
import { sampleService } from '../../test/samples.ts';
import { placeIn } from './place.ts';
import { validateApplication } from './validate.ts';

const { spec } = sampleService('web');
const application = { name: 'app', services: [spec], networks: [], volumes: [], secrets: [], configs: [] };

test.each([
  ['/services/0/task/container/environment/BLOB', 'environment.BLOB of service web'],
  ['/services/0/task/networks/1/address', 'networks[1].address of service web'],
  ['/services/0/task/container/labels/a~1b', 'labels.a/b of service web'],
  ['/services/0', 'service web'],
  ['/services/7/name', '/services/7/name'],
  ['/name', '/name'],
  ['', ''],
])('%s is %s', (path, place) => {
  expect(placeIn(application, path)).toBe(place);
  expect(() => placeIn(null, path)).not.toThrow();
});

test('an application that is refused is told by the service and attribute that its author wrote', () => {
  const container = { ...spec.task.container, environment: { BLOB: 'x'.repeat(200_000) } };
  const services = [{ ...spec, task: { ...spec.task, container } }];
  expect(() => validateApplication({ ...application, services })).toThrow(
    'Cannot use environment.BLOB of service web: must NOT have more than 131072 characters',
  );
});
