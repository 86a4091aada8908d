package guard

import "strconv"

// Fixed are settings of every session that runs statements of clients, besides the caller's limits. A statement cannot
// change them: Parse cuts its SETTINGS, Decide refuses those of subqueries, and the session is read-only.
func Fixed() map[string]string {
	return map[string]string{
		"enable_analyzer":              "1", // Decide is about what this analyser reads.
		"enable_global_with_statement": "1",
		"implicit_table_at_top_level":  "",
		// What is too large for memory is refused, and not written to disk.
		"max_bytes_before_external_sort":           "0",
		"max_bytes_before_external_group_by":       "0",
		"max_bytes_ratio_before_external_sort":     "0",
		"max_bytes_ratio_before_external_group_by": "0",
		// Results say how many rows were read for them, which are also those of other tenants.
		"output_format_write_statistics": "0",
		"use_query_cache":                "0",
		// Over a view it fails with NOT_FOUND_COLUMN_IN_BLOCK (26.5).
		"query_plan_optimize_lazy_materialization": "0",
		"allow_introspection_functions":            "0",
		"max_query_size":                           strconv.Itoa(2 * MaxStatement),
		"max_parser_depth":                         "1000",
		"max_subquery_depth":                       "100",
		"max_ast_depth":                            "1000",
		"max_ast_elements":                         "50000",
		"max_expanded_ast_elements":                "500000",
	}
}
