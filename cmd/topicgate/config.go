package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"topicgate/config"
)

func newConfig(environ []string) *cobra.Command {
	var check, connect bool
	c := &cobra.Command{
		Use:   "config [--check [--connect]]",
		Short: "Print every setting, or check those of the environment",
		Long: "Prints every setting: variable, type, default and meaning. With --check, reads the environment and the files\n" +
			"that it names instead, shows what is set, names every mistake, and warns of what can never match. It opens no\n" +
			"connection, unless --connect says so: then it tries Redis, each broker and each issuer.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case connect && !check:
				return usage(errors.New("--connect belongs to --check; see topicgate config --help"))
			case check:
				return checkConfig(cmd.Context(), environ, connect, cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			return config.Print(cmd.OutOrStdout())
		},
	}
	c.Flags().BoolVar(&check, "check", false, "check the environment")
	c.Flags().BoolVar(&connect, "connect", false, "try Redis, each broker and each issuer, too")
	return c
}

func checkConfig(ctx context.Context, environ []string, connect bool, stdout, stderr io.Writer) error {
	c, err := config.Load(environ)
	if err == nil {
		err = checkParts(c)
	}
	if err != nil {
		return failed(wrongSettings(err))
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for _, v := range c.Values() {
		if v.Source != v.Variable {
			v.Text += "\tfrom " + v.Source
		}
		fmt.Fprintf(table, "%s\t%s\n", v.Variable, v.Text)
	}
	if err := table.Flush(); err != nil {
		return failed(err)
	}
	for _, w := range c.Warnings {
		fmt.Fprintf(stderr, "topicgate: warning: %v\n", w)
	}
	if _, err = fmt.Fprintln(stdout, "the settings are valid; those not shown have their defaults"); err != nil || !connect {
		return err
	}
	return tryConnections(ctx, c, stdout)
}

// wrongSettings says how many mistakes there are before it names them.
func wrongSettings(err error) error {
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		return err
	}
	if len(problems) == 1 {
		return problems[0]
	}
	return fmt.Errorf("%d settings are wrong:\n%w", len(problems), problems)
}
