// The OpenID Connect provider of the tests: npm oidc-provider, which is certified, with its own login and
// consent pages. Anybody may log in under any name with any password.
//
// Arguments: JSON { port, audience, redirectURIs, roles: { username: [role] }, lifetime (seconds), format ('jwt' or 'opaque') }.
import Provider from 'oidc-provider'
import { say } from './lines.mjs'

const { port, audience, redirectURIs, roles, lifetime, format } = JSON.parse(process.argv[2])
const issuer = `http://127.0.0.1:${port}`

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'chat',
    token_endpoint_auth_method: 'none', // a page keeps no secret: PKCE
    application_type: 'native', // http on loopback
    redirect_uris: redirectURIs,
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code']
  }, {
    client_id: 'auction-worker', // a program: a token of its own
    client_secret: 'a secret of the worker alone',
    redirect_uris: [],
    grant_types: ['client_credentials'],
    response_types: []
  }, {
    client_id: 'gate', // that asks about opaque tokens
    client_secret: 'a secret: 100%',
    redirect_uris: [],
    grant_types: [],
    response_types: []
  }],
  clientBasedCORS: () => true,
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  ttl: { AccessToken: () => lifetime ?? 3600, IdToken: 3600, Session: 3600, Grant: 3600, Interaction: 3600 },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  extraTokenClaims: (_, token) => ({ roles: roles?.[token.accountId ?? token.clientId] ?? [] }),
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true, // without it the access token would be opaque
      getResourceServerInfo: () => ({ scope: '', audience: 'topicgate', accessTokenFormat: format ?? 'jwt', accessTokenTTL: lifetime ?? 3600 })
    }
  }
})
provider.on('server_error', (_, error) => console.error(error))
provider.listen(port, '127.0.0.1', () => say({ issuer }))
process.stdin.resume().on('close', () => process.exit(0))
