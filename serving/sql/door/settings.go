package door

// mute are settings that drivers send of their own accord. How a request is answered is decided here, and nothing is
// inserted, so they mean nothing. Others reach the statement, which refuses those that it may not have.
var mute = wordSet("readonly", "wait_end_of_query", "buffer_size", "send_progress_in_http_headers",
	"http_headers_progress_interval_ms", "http_zlib_compression_level", "http_response_buffer_size",
	"cancel_http_readonly_queries_on_client_close", "http_write_exception_in_output_format",
	"date_time_input_format", "async_insert", "wait_for_async_insert", "max_insert_block_size", "insert_deduplicate",
	"enable_analyzer", "allow_experimental_analyzer", "output_format_native_encode_types_in_binary_format",
	"input_format_native_decode_types_in_binary_format", "input_format_binary_decode_types_in_binary_format",
	"output_format_binary_write_json_as_string", "input_format_binary_read_json_as_string",
	"output_format_native_write_json_as_string", "allow_experimental_json_type", "enable_json_type",
	"http_receive_timeout", "http_send_timeout", "session_timeout")

func wordSet(words ...string) map[string]bool {
	set := map[string]bool{}
	for _, w := range words {
		set[w] = true
	}
	return set
}
