package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
)

func usage(f *flag.FlagSet) {
	fmt.Println("Usage: berth-runtime [options] command [options] [arguments]")
	fmt.Println("\nMakes containers from OCI bundles, with the command line of runc.")
	fmt.Println("\nCommands:")
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, v := range verbs() {
		fmt.Fprintf(w, "  %s\t%s\n", v.name, v.about)
	}
	_ = w.Flush()
	options(f)
}

func verbUsage(v *verb, f *flag.FlagSet) {
	fmt.Printf("Usage: berth-runtime %s [options] %s\n\n%s\n", v.name, v.args, v.about)
	options(f)
}

// options lists the flags, those with one letter beside their long names.
func options(f *flag.FlagSet) {
	short := map[string]string{}
	f.VisitAll(func(o *flag.Flag) {
		if len(o.Name) == 1 {
			short[o.Usage] = o.Name
		}
	})
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	var names []string
	f.VisitAll(func(o *flag.Flag) { names = append(names, o.Name) })
	slices.Sort(names)
	if len(names) > 0 {
		fmt.Println("\nOptions:")
	}
	for _, name := range names {
		o := f.Lookup(name)
		if len(name) == 1 {
			continue
		}
		placeholder, text := flag.UnquoteUsage(o)
		left := "--" + name
		if s := short[o.Usage]; s != "" {
			left += ", -" + s
		}
		if placeholder != "" {
			left += " " + placeholder
		}
		if o.DefValue != "" && o.DefValue != "false" && o.DefValue != "0" {
			text += " (default: " + o.DefValue + ")"
		}
		fmt.Fprintf(w, "  %s\t%s\n", left, text)
	}
	_ = w.Flush()
}

// boolFlag and stringFlag declare a flag with a long and a short name.
func boolFlag(f *flag.FlagSet, v *bool, long, short, text string) {
	f.BoolVar(v, long, false, text)
	f.BoolVar(v, short, false, text)
}

func stringFlag(f *flag.FlagSet, v *string, long, short, value, text string) {
	f.StringVar(v, long, value, text)
	f.StringVar(v, short, value, text)
}
