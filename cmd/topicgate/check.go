package main

import (
	"errors"
	"log/slog"

	"topicgate/config"
	"topicgate/gateway/edge"
	"topicgate/policy"
	"topicgate/policy/store"
)

// checkParts tries what serve would make of the settings, as far as that needs no connection:
// the files that they name, and the address of Redis. The error is config.Problems.
func checkParts(c config.Config) error {
	problems := policyProblems(c)
	if c.TLSCertFile != "" {
		_, err := edge.NewCertReloader(certFiles(c), slog.New(slog.DiscardHandler))
		note(&problems, "TLS_CERT_FILE", err)
	}
	_, err := loadAuthorities(c.UpstreamCAFile)
	note(&problems, "UPSTREAM_CA_FILE", err)
	if c.UpstreamCertFile != "" {
		_, err := newClientCert(c.UpstreamCertFile, c.UpstreamKeyFile)
		note(&problems, "UPSTREAM_CERT_FILE", err)
	}
	return orNil(problems)
}

// checkPolicyParts is checkParts for what concerns the policy.
func checkPolicyParts(c config.Config) error { return orNil(policyProblems(c)) }

func policyProblems(c config.Config) (problems config.Problems) {
	_, err := usersOf(c)
	note(&problems, "OIDC_USERNAME_PATTERN", err)
	if c.UsesRedis() {
		_, err := store.ParseRedisURL(c.RedisURL.Reveal())
		note(&problems, "REDIS_URL", err)
	}
	if c.PolicyFile != "" {
		_, err := readRules(nil, c.PolicyFile)
		note(&problems, "POLICY_FILE", err)
	}
	return problems
}

// note adds an error, if there is one; of a text of rules, each line's.
func note(problems *config.Problems, variable string, err error) {
	var messages []string
	if lines, ok := errors.AsType[policy.Problems](err); ok {
		for _, line := range lines {
			messages = append(messages, line.String())
		}
	} else if err != nil {
		messages = append(messages, err.Error())
	}
	for _, message := range messages {
		*problems = append(*problems, config.Problem{Variable: config.Prefix + variable, Message: message})
	}
}

// orNil keeps an empty list from being an error.
func orNil(problems config.Problems) error {
	if len(problems) == 0 {
		return nil
	}
	return problems
}
