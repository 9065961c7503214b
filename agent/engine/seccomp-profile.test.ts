import { expect, test } from 'vitest';
import type { SeccompCondition } from '../../src/spec/seccomp.ts';
import { seccompFromProfile } from './seccomp-profile.ts';

const here = { architecture: 'x64', kernel: '6.18.3-cloud', capabilities: ['CAP_CHOWN'] };

function isKept(includes: SeccompCondition | undefined, excludes?: SeccompCondition, where = here): boolean {
  const rule = {
    names: ['a'],
    action: 'SCMP_ACT_ALLOW',
    ...(includes && { includes }),
    ...(excludes && { excludes }),
  };
  const { syscalls } = seccompFromProfile({ defaultAction: 'SCMP_ACT_ERRNO', syscalls: [rule] }, where) as {
    syscalls: object[];
  };
  expect(syscalls.length === 0 ? [] : [{ names: ['a'], action: 'SCMP_ACT_ALLOW' }]).toEqual(syscalls);
  return syscalls.length === 1;
}

test('a rule holds where all that it includes does, and nothing that it excludes', () => {
  expect(isKept({ caps: ['CAP_CHOWN'] })).toBe(true);
  expect(isKept({ caps: ['CAP_CHOWN', 'CAP_SYS_ADMIN'] })).toBe(false);
  expect(isKept({ arches: ['amd64', 'x32'] })).toBe(true);
  expect(isKept({ arches: ['s390x'] })).toBe(false);
  expect(isKept({ minKernel: '4.8' })).toBe(true);
  expect(isKept({ minKernel: '6.19' })).toBe(false);
  expect(isKept({ minKernel: '6.18' }, { caps: ['CAP_SYS_ADMIN'] })).toBe(true);
  expect(isKept(undefined, { caps: ['CAP_CHOWN'] })).toBe(false);
  expect(isKept(undefined, { arches: ['arm64'] }, { ...here, architecture: 'arm64' })).toBe(false);
});

test('the architectures are those listed, or those of this machine in the map', () => {
  const bare = { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [] };
  const archMap = [
    { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: [] },
    { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] },
  ];
  expect(seccompFromProfile(bare, here)).toEqual(bare);
  expect(seccompFromProfile({ ...bare, architectures: ['SCMP_ARCH_ARM'] }, here)).toMatchObject({
    architectures: ['SCMP_ARCH_ARM'],
  });
  expect(seccompFromProfile({ ...bare, archMap }, here)).toMatchObject({
    architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'],
  });
});
