package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"topicgate/auth"
	"topicgate/config"
	"topicgate/policy"
	"topicgate/policy/store"
)

// question is what "policy explain" is asked.
type question struct {
	principal  policy.Principal
	named      bool // by --user; otherwise by the claims
	claimsFile string
	op, topic  string
	message    message
	json       bool
}

func newPolicyExplain(environ []string) *cobra.Command {
	var q question
	c := &cobra.Command{
		Use:   "explain --user USER|--claims FILE [flags] publish|subscribe|receive TOPIC",
		Short: "Say what the rules decide, by which rule, and why the others did not",
		Long: "Says what the rules decide for a user, by which rule (file:line or Redis key), and why the others did not.\n" +
			"It reads the same Redis and policy file as the gateway, by the same TOPICGATE_ variables, and takes username and\n" +
			"roles from the claims of a token as the gateway would.\n" +
			"Exit status 0: allowed, 1: denied or not decidable, 2: wrong usage or settings.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 || !slices.Contains([]string{"publish", "subscribe", "receive"}, args[0]) {
				return errors.New("what is to be explained? publish TOPIC, subscribe FILTER or receive TOPIC")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			q.op, q.topic = args[0], args[1]
			if q.named = cmd.Flags().Changed("user"); !q.named && q.claimsFile == "" {
				return usage(errors.New("whose rights? --user USER, or --claims FILE with a token's claims"))
			}
			asked := cmd.Flags().Changed("payload") || cmd.Flags().Changed("qos") || cmd.Flags().Changed("retain")
			if err := q.message.check(q, asked); err != nil {
				return usage(err)
			}
			return explain(cmd, environ, q)
		},
	}
	f := c.Flags()
	f.StringVar(&q.principal.Username, "user", "", "username; without it, that of the claims")
	f.StringArrayVar(&q.principal.Roles, "role", nil, "a role of the token; may be repeated. Those of the claims and of the Redis set count besides")
	f.StringVar(&q.principal.ClientID, "client-id", "", "Client Identifier, for %c")
	f.StringVar(&q.claimsFile, "claims", "", "file with the token's claims as a JSON object ('-' is standard input)")
	f.StringVar(&q.message.file, "payload", "", "file with the payload of a publish, to be held against directives ('-' is standard input)")
	f.Uint8Var(&q.message.qos, "qos", 0, "QoS of that publish")
	f.BoolVar(&q.message.retain, "retain", false, "it is a retained one")
	f.BoolVar(&q.json, "json", false, "answer in JSON")
	return c
}

func explain(cmd *cobra.Command, environ []string, q question) error {
	c, err := config.LoadPolicy(environ)
	if err == nil {
		err = checkPolicyParts(c)
	}
	if err != nil {
		return usage(wrongSettings(err))
	}
	if err := q.readClaims(c, cmd.InOrStdin()); err != nil {
		return err
	}
	if q.message.file != "" {
		if err := q.message.read(cmd.InOrStdin()); err != nil {
			return err
		}
	}
	a, err := ask(cmd.Context(), c, q, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if q.json {
		err = a.printJSON(cmd.OutOrStdout())
	} else {
		err = a.print(cmd.OutOrStdout())
	}
	if err != nil {
		return failed(err)
	}
	if !a.Allowed {
		return failed(nil)
	}
	return nil
}

// readClaims fills in what a token's claims say of the principal. The error is an outcome.
func (q *question) readClaims(c config.Config, stdin io.Reader) error {
	if q.claimsFile == "" {
		return nil
	}
	if q.claimsFile != "-" {
		file, err := os.Open(q.claimsFile)
		if err != nil {
			return usage(err)
		}
		defer file.Close()
		stdin = file
	}
	text, err := io.ReadAll(stdin)
	if err != nil {
		return usage(fmt.Errorf("claims in %s: %w", q.claimsFile, err))
	}
	claims, err := auth.ParseClaimsSet(text)
	if err != nil {
		return usage(fmt.Errorf("claims in %s: %w", q.claimsFile, err))
	}
	q.principal.Issuer, _ = claims.Text("iss")
	roles, err := claims.Roles(c.OIDCRolesClaims...)
	if err == nil && !q.named {
		prefix, ok := c.UsernamePrefix(q.principal.Issuer)
		if !ok {
			return failed(fmt.Errorf("claims in %s: iss is none of %sOIDC_ISSUER, so nobody knows the prefix of the username", q.claimsFile, config.Prefix))
		}
		users, problem := usersOf(c)
		if problem != nil {
			return usage(problem) // which checkPolicyParts has found
		}
		q.principal.Username, err = users.Username(claims, prefix)
	}
	if err != nil {
		return failed(fmt.Errorf("claims in %s: %w", q.claimsFile, err))
	}
	q.principal.Roles = append(roles, q.principal.Roles...)
	q.principal.Claims = string(text)
	q.principal.TokenID, _ = claims.Text("jti")
	return nil
}

// ask lets a Store decide, as a gateway's would. The error is an outcome.
func ask(ctx context.Context, c config.Config, q question, stderr io.Writer) (*answer, error) {
	// What is odd in the file is told by "policy check", what is wrong in Redis by Status.
	log := slog.New(slog.DiscardHandler)
	policies, err := store.New(storeOptions(c, "explain", log, nil))
	if err != nil {
		return nil, failed(err)
	}
	parts := newParts()
	parts.start("policy", policies.Run)
	defer func() {
		parts.stop()
		policies.Close()
	}()
	grant, err := policies.Open(ctx, q.principal, func() {})
	if err != nil && !errors.Is(err, store.ErrUndecided) {
		return nil, usage(err)
	}
	if err != nil {
		return nil, failed(err)
	}
	defer grant.Close()
	e := grant.Access().Explain(q.op, q.topic)
	if e.Invalid != "" {
		return nil, usage(fmt.Errorf("%s %q: %s", q.op, q.topic, e.Invalid))
	}
	detail := policies.Status().Detail
	for _, part := range slices.Sorted(maps.Keys(detail)) {
		if part != "redis" {
			fmt.Fprintf(stderr, "topicgate: warning: %s: %s\n", part, detail[part])
		}
	}
	a := newAnswer(c, q, e, grant.Standing())
	if q.message.file != "" && a.Allowed {
		a.hold(q.message.judge(e.Directives, grant, q.principal.Username))
	}
	return a, nil
}

// storeOptions are the same for serve and for "policy explain".
func storeOptions(c config.Config, instance string, log *slog.Logger, observe func(store.Event)) store.Options {
	return store.Options{
		RedisURL:   c.RedisURL.Reveal(),
		Prefix:     c.RedisPrefix,
		PolicyFile: c.PolicyFile,
		StaleMax:   c.PolicyStaleMax,
		Instance:   instance,
		Logger:     log,
		Observe:    observe,
	}
}
