package main

import (
	"fmt"
	"os"
	"reflect"

	"github.com/alecthomas/kong"

	"recount/deploy/server"
	"recount/schemas/setting"
)

// settingsFlags holds every setting of the configuration as a flag and an environment variable. The struct that kong
// parses into is built from the list of settings, so that a setting is declared only once.
type settingsFlags struct {
	settings []setting.Setting
	value    any // value points to a struct with one *string for each setting.
}

// settable is embedded in commands that accept the settings as flags. Other commands that read a configuration use its
// file and the environment only.
type settable struct{ kong.Plugins }

func (s *settingsFlags) settable() settable { return settable{kong.Plugins{s.value}} }

func newSettingsFlags() *settingsFlags {
	defaults := server.DefaultConfig()
	s := &settingsFlags{settings: defaults.Settings()}
	var fields []reflect.StructField
	for i, set := range s.settings {
		fields = append(fields, reflect.StructField{
			Name: fmt.Sprintf("S%d", i),
			Type: reflect.TypeFor[*string](),
			Tag: reflect.StructTag(fmt.Sprintf(`name:%q env:%q help:%q group:"settings" placeholder:"VALUE"`,
				set.Flag(), set.Env(), set.Help)),
		})
	}
	s.value = reflect.New(reflect.StructOf(fields)).Interface()
	return s
}

// given returns the values that flags or the environment give to settings, by the name of the flag.
func (s *settingsFlags) given() map[string]string {
	out := map[string]string{}
	v := reflect.ValueOf(s.value).Elem()
	for i, set := range s.settings {
		if p := v.Field(i).Interface().(*string); p != nil {
			out[set.Flag()] = *p
		} else if text, ok := os.LookupEnv(set.Env()); ok {
			out[set.Flag()] = text
		}
	}
	return out
}
