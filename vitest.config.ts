import { defineConfig } from 'vitest/config';

/** `unit` needs nothing but Node; `integration` needs root on Linux and runs one file at a time on real hosts. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: [
            '{src,agent,manager}/**/*.test.ts',
            'test/*.test.ts',
            'test/{bench,linearizability,peer,scenarios,simulation}/**/*.test.ts',
          ],
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts', 'test/harness/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
