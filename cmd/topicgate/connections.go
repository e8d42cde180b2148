package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"topicgate/auth"
	"topicgate/config"
	"topicgate/gateway/upstream"
	"topicgate/policy/store"
)

const (
	// connectPatience is how long Redis, brokers and issuers may take to answer.
	connectPatience = 10 * time.Second
	// connectPause is before they are asked again whether they have.
	connectPause = 100 * time.Millisecond
)

// tryConnections tries what a CONNECT needs, as /readyz would, without being a gateway. The error is an outcome.
func tryConnections(ctx context.Context, c config.Config, stdout io.Writer) error {
	log := slog.New(slog.DiscardHandler)
	options, err := verifierOptions(c)
	if err != nil {
		return usage(err)
	}
	verifier, err := auth.NewVerifier(options)
	if err != nil {
		return usage(err)
	}
	policies, err := store.New(storeOptions(c, "check", log, nil))
	if err != nil {
		return failed(err)
	}
	brokers, err := brokersOf(c)
	if err != nil {
		return failed(err)
	}
	parts := newParts()
	parts.start("policy", policies.Run)
	parts.start("tokens", verifier.Run)
	defer func() {
		parts.stop()
		policies.Close()
	}()
	ctx, cancel := context.WithTimeout(ctx, connectPatience)
	defer cancel()
	found := make(map[string]string)
	for address, err := range brokers.Probe(ctx) {
		found["broker "+address] = "ok"
		if err != nil {
			found["broker "+address] = err.Error()
		}
	}
	awaitAnswers(ctx, policies, verifier)
	for part, text := range policies.Status().Detail {
		found[part] = text
	}
	for issuer, text := range verifier.Status() {
		found["issuer "+issuer] = text
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	var wrong []string
	for _, part := range slices.Sorted(maps.Keys(found)) {
		fmt.Fprintf(table, "%s\t%s\n", part, found[part])
		if found[part] != "ok" && (part != "redis" || c.UsesRedis()) {
			wrong = append(wrong, part)
		}
	}
	if err := table.Flush(); err != nil {
		return failed(err)
	}
	if wrong != nil {
		return failed(fmt.Errorf("not as it should be: %s", strings.Join(wrong, ", ")))
	}
	return nil
}

// brokersOf is the brokers as the gateway dials them.
func brokersOf(c config.Config) (*upstream.Brokers, error) {
	settings, _, err := upstreamTLS(c)
	if err != nil {
		return nil, err
	}
	return upstream.New(upstream.Options{URLs: upstreamURLs(c), TLS: settings,
		ProxyProtocol: c.UpstreamProxyProtocol == config.ProxyProtocolV2, Observe: func(string) {}}), nil
}

// awaitAnswers returns when Redis answers and each issuer has, or has failed to, or ctx ends.
func awaitAnswers(ctx context.Context, policies *store.Store, verifier *auth.Verifier) {
	for ctx.Err() == nil && (!policies.Status().Ready || !verifier.Asked()) {
		select {
		case <-ctx.Done():
		case <-time.After(connectPause):
		}
	}
}
