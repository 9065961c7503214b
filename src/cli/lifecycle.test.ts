import { expect, test } from 'vitest';
import { sampleService, sampleSpec } from '../../test/samples.ts';
import type { Service, ServiceVersion } from '../spec/service.ts';
import { servicesFor } from './lifecycle.ts';

const version = (
  number: number,
  createdAt: number,
  changes: Partial<ServiceVersion> = {},
): ServiceVersion => ({
  version: number,
  cause: 'up',
  state: 'completed',
  createdAt,
  ...changes,
});

/** A service that an earlier version can be returned to. */
const changed = (id: string, versions: ServiceVersion[]): Service =>
  sampleService(id, {}, { versions, rollbackTarget: { version: 1, spec: sampleSpec('before') } });

const names = (services: Service[]) => services.map(({ id }) => id);

test('a rollback of an application takes back what its last up has changed, and nothing of before', () => {
  const services = [
    changed('web', [version(1, 10), version(2, 20)]),
    changed('db', [version(1, 5), version(2, 10)]),
    sampleService('new', {}, { versions: [version(1, 20)] }),
    changed('done', [version(1, 10), version(2, 20), version(3, 25, { cause: 'failure', restores: 1 })]),
  ];
  expect(names(servicesFor('rollback', services, 'app'))).toEqual(['web']);
  expect(() => servicesFor('rollback', services.slice(1, 3), 'app')).toThrow(
    'Cannot roll back anything of app: its last `shoal up` changed no service that has an earlier completed version',
  );
});

test('an application is paused where updates are under way, and resumed where they are paused', () => {
  const updating = (id: string, state: 'updating' | 'paused') =>
    sampleService(id, {}, { updateStatus: { id: 'u', state, specVersion: 1, startedAt: 0, message: '' } });
  const services = [updating('web', 'updating'), updating('db', 'paused'), sampleService('cache')];
  expect(names(servicesFor('pause', services, 'app'))).toEqual(['web']);
  expect(names(servicesFor('resume', services, 'app'))).toEqual(['db']);
  expect(() => servicesFor('pause', services.slice(1), 'app')).toThrow('no update is under way');
});

test('all services are stopped, and what is stopped is not restarted', () => {
  const services = [sampleService('web'), sampleService('db', {}, { stopped: true })];
  expect(names(servicesFor('stop', services, 'app'))).toEqual(['web', 'db']);
  expect(names(servicesFor('restart', services, 'app'))).toEqual(['web']);
});
