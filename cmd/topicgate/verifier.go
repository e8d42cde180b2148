package main

import (
	"topicgate/auth"
	"topicgate/config"
)

// verifierOptions are the same for serve and for "token check". They lack who is told what is seen.
func verifierOptions(c config.Config) (auth.Options, error) {
	users, err := usersOf(c)
	o := auth.Options{
		Audiences:     c.OIDCAudiences,
		AudienceClaim: c.OIDCAudienceClaim,
		Users:         users,
		RolesClaims:   c.OIDCRolesClaims,
		ClockSkew:     c.OIDCClockSkew,
		UserAgent:     userAgent(),
	}
	for _, i := range c.OIDCIssuers {
		issuer := auth.Issuer{Name: i.URL, UsernamePrefix: i.Prefix, DiscoveryURL: i.Discovery, KeysURL: i.JWKS}
		if i.Introspection != "" {
			issuer.Introspection = &auth.Introspection{URL: i.Introspection, ClientID: c.OIDCIntrospectionClientID, ClientSecret: c.OIDCIntrospectionClientSecret.Reveal()}
		}
		o.Issuers = append(o.Issuers, issuer)
	}
	return o, err
}

// usersOf is how usernames are made of claims.
func usersOf(c config.Config) (auth.Users, error) {
	users := auth.Users{Claim: c.OIDCUsernameClaim, Escape: c.OIDCUsernameEscape}
	var err error
	if c.OIDCUsernamePattern != "" {
		users.Pattern, err = auth.ParseNamePattern(c.OIDCUsernamePattern)
	}
	return users, err
}
