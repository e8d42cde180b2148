package session

import (
	"context"
	"errors"
	"strings"
	"unicode"

	"topicgate/auth"
	"topicgate/frames"
	"topicgate/gateway/edge"
	"topicgate/policy"
	"topicgate/policy/store"
)

// oauth2JWT is the MQTT 5.0 Authentication Method that carries a token.
const oauth2JWT = "OAUTH2-JWT"

// chooseClientID takes the client's identifier or makes one.
func (s *Session) chooseClientID(connect *frames.Connect) *refusal {
	if auth.HoldsToken(connect.ClientID) {
		s.clientID = auth.Mask(connect.ClientID) // for the audit
		return refuseToken()
	}
	s.clientID = connect.ClientID
	if s.clientID != "" {
		if strings.ContainsFunc(s.clientID, unicode.IsControl) {
			// Allowed, but brokers hang up on it without a word [MQTT-1.5.4-2 and section 1.5.4].
			r := refusedClientID
			r.err = errors.New("control character in the Client Identifier")
			return &r
		}
		return nil
	}
	if connect.Version != frames.V5 && !connect.CleanStart { // 3.1.1 section 3.1.3.1
		r := refusedClientID
		r.err = errors.New("empty Client Identifier")
		return &r
	}
	s.clientID = newClientID()
	return nil
}

// leastOpaqueToken is how long a token is that nobody could guess (RFC 6749 section 10.10: 128 bits, in base64). Of a
// shorter password nobody knows whether it stands in the Client Identifier by chance.
const leastOpaqueToken = 22

// refuseToken is for a Client Identifier with a token in it: it would stand in every log, also the broker's.
func refuseToken() *refusal {
	r := refusedClientID
	r.err = errors.New("token in the Client Identifier")
	return &r
}

// authenticate finds the token and has it verified.
func (s *Session) authenticate(ctx context.Context, connect *frames.Connect) *refusal {
	token, r := s.tokenOf(connect)
	if r != nil {
		return r
	}
	if len(token) >= leastOpaqueToken && strings.Contains(s.clientID, token) { // which is none that HoldsToken would know
		s.clientID = strings.ReplaceAll(s.clientID, token, auth.Masked)
		return refuseToken()
	}
	if token == "" {
		if s.certificate == nil {
			return s.tokenMissing()
		}
		identity, err := auth.FromCertificate(s.certificate, s.host.CertificatePrefix)
		if err != nil {
			return refusalOf(err)
		}
		s.whose.set(identity)
		return nil
	}
	identity, err := s.host.Verifier.Verify(ctx, token)
	if err != nil {
		return refusalOf(err)
	}
	s.whose.set(identity)
	return nil
}

// tokenMissing says where a token was looked for.
func (s *Session) tokenMissing() *refusal {
	var places []string
	for _, source := range s.host.TokenSources {
		places = append(places, strings.TrimSuffix(string(source.Kind)+":"+source.Name, ":"))
	}
	r := refusedTokenMissing
	r.err = errors.New("no token in any of: " + strings.Join(places, ", "))
	return &r
}

// refusalOf turns an error of the verifier into the answer to CONNECT.
func refusalOf(err error) *refusal {
	var refused *auth.Refused
	if errors.As(err, &refused) {
		return &refusal{v3: frames.V3NotAuthorized, v5: frames.NotAuthorized, reason: "token_" + refused.Reason, end: EndNotAuthenticated, err: err}
	}
	// Whatever else it is, nobody has said no: the client may try again.
	return outage("issuer_unavailable", EndCannotDecide, err)
}

// tokenOf picks the token: the Authentication Method says where it is; else the first configured
// source that holds anything has it, and there is no falling through.
func (s *Session) tokenOf(connect *frames.Connect) (string, *refusal) {
	if method, ok := connect.Properties.Bytes(frames.PropAuthenticationMethod); ok {
		if string(method) != oauth2JWT {
			return "", &refusedAuthMethod
		}
		s.reauthenticate = true
		data, _ := connect.Properties.Bytes(frames.PropAuthenticationData)
		if len(data) == 0 {
			r := refusedTokenMissing
			r.err = errors.New("no token in the Authentication Data")
			return "", &r
		}
		return string(data), nil
	}
	for _, source := range s.host.TokenSources {
		token := ""
		switch source.Kind {
		case edge.TokenPassword:
			token = string(connect.Password)
		case edge.TokenUsername:
			token = connect.Username
		default:
			token = s.requestTokens[source]
		}
		if token != "" {
			return token, nil
		}
	}
	return "", nil
}

// authorize waits for the policy, unless it has been loaded by an earlier try, and judges the Will.
func (s *Session) authorize(ctx context.Context, opening *store.Opening, connect *frames.Connect) *refusal {
	if s.grant == nil {
		grant, err := opening.Wait(ctx)
		if err != nil {
			return outage(policy.ReasonUnavailable, EndCannotDecide, err)
		}
		s.grant = grant
	}
	switch s.grant.Standing() {
	case store.Good:
	case store.Blocked:
		return &refusedBlocked
	case store.Revoked:
		return &refusedRevoked
	default:
		return outage(policy.ReasonUnavailable, EndCannotDecide, nil)
	}
	if connect.Will == nil {
		return nil
	}
	return s.admitWill(connect.Will)
}

// principal is who the policy is asked about.
func (s *Session) principal() policy.Principal {
	return principalOf(s.whose.get(), s.clientID)
}

func principalOf(identity auth.Identity, clientID string) policy.Principal {
	return policy.Principal{
		Username: identity.Username,
		ClientID: clientID,
		Roles:    identity.Roles,
		Claims:   identity.Claims,
		Issuer:   identity.Issuer,
		TokenID:  identity.TokenID,
	}
}
