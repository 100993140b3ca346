// [[route]]
#include "config/key_tables.hpp"

namespace drover::config {

namespace {

/// 0 is none.
constexpr Access kRespondStatus{[](void* target, const Value& v) { static_cast<Route::Respond*>(target)->status = static_cast<int>(v.integer); },
                                [](const void* target, Value& v) {
                                  v.integer = static_cast<const Route::Respond*>(target)->status;
                                  v.word = v.integer == 0;
                                }};

// clang-format off
constexpr std::array kEdits{
  Key{"remove", Type::names, "[]", "fields to take out", at<&HeaderEdits::remove>},
  like(R"({ X-Mode = "new" })", {"set", Type::fields, "{}", "fields to put in the place of all of their name", at<&HeaderEdits::set>}),
  Key{"add", Type::fields, "{}", "fields to put beside those of their name", at<&HeaderEdits::add>},
};
constexpr Section kRequestSection{"", "changes to the head that the worker gets, in this order: remove, set, add", as_span<kEdits>};
constexpr Section kResponseSection{"", "the same for the head that the client gets", as_span<kEdits>};

constexpr std::array kRedirect{
  needed(like(R"("https://example.org/")", {"to", Type::text, "", "the Location; ${host}, ${path} and ${query} (\"?\" and what follows, or nothing) are the request's", at<&Route::Redirect::to>})),
  Key{"status", Type::integer, "302", "301, 302, 303, 307 or 308", at<&Route::Redirect::status>, {301, 308}},
};
constexpr Section kRedirectSection{"", "drover's own answer: elsewhere", as_span<kRedirect>};

constexpr std::array kRespond{
  needed(like("200", {"status", Type::integer, "", "of the answer", kRespondStatus, {200, 599}})),
  Key{"body", Type::body, "", "its content", at<&Route::Respond::body>},
  Key{"type", Type::field_value, R"("text/plain; charset=utf-8")", "its Content-Type", at<&Route::Respond::type>},
};
constexpr Section kRespondSection{"", "drover's own answer, always the same", as_span<kRespond>};

/// Pools are names as written until all are known.
constexpr std::array kRoute{
  Key{"host", Type::host, R"("*")", "\"*\", \"*.example.org\" or a name, without a port; a name goes before \"*.…\", that before \"*\"", at<&Route::host>},
  Key{"path", Type::url_path, R"("/")", "prefix, on segment boundaries; of one host's routes the longest path wins", at<&Route::path>},
  Key{"exact", Type::flag, "false", "`path` is the whole path; goes before prefixes", at<&Route::exact>},
  Key{"methods", Type::methods, "[]", "only these; goes before a route with none, fewer before more", at<&Route::methods>},
  Key{"headers", Type::wanted, "{}", "only requests that have all of these; \"*\": any value; more of them go before fewer", at<&Route::headers>},
  Key{"pool", Type::text, "", "where its requests go; required with more than one pool, but for `split`, `redirect` and `respond`"},
  Key{"split", Type::split, "", "in the place of `pool`: pools and the weights by which requests are dealt out, like { shop = 90, canary = 10 }"},
  Key{"strip", Type::url_path, "", "taken off the front of the path", at<&Route::strip>},
  Key{"prefix", Type::url_path, "", "put before the path, after `strip`", at<&Route::prefix>},
  table("request", kRequestSection, inner<&Route::request>),
  table("response", kResponseSection, inner<&Route::response>),
  table("redirect", kRedirectSection, inner<&Route::redirect>),
  table("respond", kRespondSection, inner<&Route::respond>),
  Key{"timeout", Type::duration, "", "of the whole exchange, to the last byte of the response; none if not given", at<&Route::timeout>, kPositive},
  Key{"priority", Type::integer, "0", "when a queue is full, a request of the lowest is turned away first", at<&Route::priority>, {-100, 100}},
};
// clang-format on

}  // namespace

std::span<const Key> route_keys() { return kRoute; }

}  // namespace drover::config
