package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"topicgate/config"
	"topicgate/gateway/registry"
	"topicgate/policy/store"
)

// openRegistry opens the Redis in which the gateways keep their sessions. The caller closes the store; the
// error is an outcome.
func openRegistry(environ []string) (policies *store.Store, prefix string, err error) {
	c, err := config.LoadPolicy(environ)
	if err == nil {
		var problems config.Problems
		if c.UsesRedis() {
			_, err := store.ParseRedisURL(c.RedisURL.Reveal())
			note(&problems, "REDIS_URL", err)
		}
		err = orNil(problems)
	}
	if err != nil {
		return nil, "", usage(wrongSettings(err))
	}
	if !c.UsesRedis() {
		return nil, "", usage(errors.New(config.Prefix + "REDIS_URL is none: a gateway without Redis has /sessions on its admin listener alone"))
	}
	// For its client: the rules, and their file, are nobody's concern here.
	policies, err = store.New(store.Options{RedisURL: c.RedisURL.Reveal(), Prefix: c.RedisPrefix, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, "", failed(err)
	}
	return policies, c.RedisPrefix, nil
}

// printSessions writes a table for people.
func printSessions(w io.Writer, sessions []registry.LiveSession) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "USER\tCLIENT ID\tMQTT\tREMOTE\tBROKER\tSINCE\tEXPIRES\tINSTANCE\tSESSION")
	for _, s := range sessions {
		row := []string{s.User, s.ClientID, s.Version, s.Remote, s.Upstream, clock(s.Since), clock(s.Expires), s.Instance, s.Session}
		for i, text := range row {
			row[i] = cell(text)
		}
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	return table.Flush()
}

// cell is text that does nothing to a terminal, and is one cell: clients choose their names.
func cell(text string) string {
	if text == "" {
		return "-"
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

func clock(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}
