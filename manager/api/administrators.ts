import { ShoalError } from '../../src/util/errors.ts';
import type { AdministratorAnswer } from '../../src/wire/api.ts';
import { joinBodyBytesMax } from './bodies.ts';
import type { ApiContext } from './context.ts';
import { pageOf } from './pages.ts';
import type { Route } from './router.ts';
import { administratorCreateSchema } from './schema.ts';
import { checkSchema } from './validate.ts';

/** Routes of those who may drive the cluster from elsewhere. */
export function administratorRoutes(context: ApiContext): Route[] {
  const { administrators, database } = context;
  return [
    {
      method: 'GET',
      pattern: '/administrators',
      from: 'view',
      access: 'admin',
      handle: (call) =>
        pageOf(call, database.view.administrators.values(), { position: ({ name, id }) => [name, id] }),
    },
    {
      method: 'POST',
      pattern: '/administrators',
      access: 'admin',
      bodyBytesMax: joinBodyBytesMax,
      status: 201,
      handle: async ({ body, objects }): Promise<AdministratorAnswer> => {
        const given = checkSchema(administratorCreateSchema, await body());
        objects.push(`create administrator ${given.name} ${given.role}`);
        return { ...(await administrators.create(given)), managers: context.addresses() };
      },
    },
    {
      method: 'DELETE',
      pattern: '/administrators/:name',
      access: 'admin',
      handle: async ({ parameters, identity }) => {
        const name = parameters.name!;
        if (identity.kind === 'administrator' && identity.administrator.name === name) {
          throw new ShoalError('failed_precondition', 'Cannot remove the administrator that asks for it', {
            next: 'Let another one with the role admin do it, or root on a manager.',
          });
        }
        await administrators.remove(name);
        return {};
      },
    },
  ];
}
