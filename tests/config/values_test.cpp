// Units, addresses, variables.
#include "config/values.hpp"
#include "config/expand.hpp"
#include "config/utf8.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

namespace drover::config {
namespace {

TEST(Duration, TakesEachUnit) {
  EXPECT_EQ(*read_duration("500ms"), 500ms);
  EXPECT_EQ(*read_duration("0s"), 0ms);
  EXPECT_EQ(*read_duration("1.5s"), 1500ms);
  EXPECT_EQ(*read_duration("10m"), 10min);
  EXPECT_EQ(*read_duration("12h"), 12h);
}

TEST(Duration, RefusesWhatHasNoClearMeaning) {
  for (const char* text :
       {"", "s", "5", "5x", "-5s", "+5s", ".5s", "5.s", "1e3s", "5 s", "5ss", "0x5s", "nan", "infs", "1,5s", "99999999999999999999s"}) {
    EXPECT_FALSE(read_duration(text)) << text;
  }
}

TEST(Size, TakesEachUnit) {
  EXPECT_EQ(read_bytes("12B")->value, 12U);
  EXPECT_EQ(read_bytes("8KiB")->value, 8192U);
  EXPECT_EQ(read_bytes("400MiB")->value, 400U << 20U);
  EXPECT_EQ(read_bytes("1.5GiB")->value, 3ULL << 29U);
  EXPECT_EQ(read_bytes("2TiB")->value, 2ULL << 40U);
}

TEST(Size, ProposesTheUnitThatWasMeant) {
  EXPECT_EQ(read_bytes("8K").error().hint, "write \"8KiB\"");
  EXPECT_EQ(read_bytes("1GB").error().hint, "write \"1GiB\"");
  EXPECT_FALSE(read_bytes("99999999TiB"));
  EXPECT_FALSE(read_bytes("-1B"));
}

TEST(Size, OfNothingNeedsNoUnit) {
  EXPECT_EQ(read_bytes("0")->value, 0U);
  EXPECT_FALSE(read_bytes("00"));
  EXPECT_FALSE(read_bytes("1"));
}

TEST(HostHeader, IsVisibleAndNoUrl) {
  for (const char* text : {"a", "a.b:80", "[::1]:80", "A_b"}) EXPECT_EQ(*read_host_header(text), text);
  for (const char* text : {"", " ", "a b", "a\tb", "a\r\nX: y", "http://a", "a/b", "\x7f", "\xc3\xa4"}) EXPECT_FALSE(read_host_header(text)) << text;
  EXPECT_TRUE(read_host_header(std::string(255, 'a')));
  EXPECT_FALSE(read_host_header(std::string(256, 'a')));
}

TEST(NumberText, IsTheShortestThatComesBack) {
  EXPECT_EQ(number_text(0.1), "0.1");
  EXPECT_EQ(number_text(80), "80");
  EXPECT_EQ(number_text(0), "0");
  EXPECT_EQ(number_text(33.333), "33.333");
}

TEST(Percent, NeedsItsSign) {
  EXPECT_DOUBLE_EQ(*read_percent("80%"), 80);
  EXPECT_DOUBLE_EQ(*read_percent("0.5%"), 0.5);
  for (const char* text : {"80", "%", "", "80 %", "80pct", "-1%"}) EXPECT_FALSE(read_percent(text)) << text;
}

TEST(Ports, AreTwoNumbersInOrder) {
  EXPECT_EQ(*read_ports("1-65535"), (PortRange{1, 65535}));
  EXPECT_EQ(*read_ports("80-80"), (PortRange{80, 80}));
  for (const char* text : {"", "-", "80", "0-80", "80-", "-80", "2-1", "1-65536", "1-2-3", "a-b", " 1-2"}) EXPECT_FALSE(read_ports(text)) << text;
}

TEST(Address, TakesEachForm) {
  EXPECT_EQ(read_bind("127.0.0.1:3000")->host, "127.0.0.1");
  EXPECT_EQ(read_bind("127.0.0.1:3000")->port, 3000);
  EXPECT_EQ(read_bind(":0")->host, "");
  EXPECT_EQ(read_bind("[::1]:80")->host, "::1");
  EXPECT_EQ(read_bind("localhost:80")->host, "localhost");
  EXPECT_EQ(read_bind("unix:/run/a.sock")->path, "/run/a.sock");
  EXPECT_TRUE(read_bind("unix:/run/a.sock")->unix_path);
}

TEST(Address, RefusesTheRest) {
  for (const char* text : {"", ":", "a", "a:", "a:b", "a:-1", "a:65536", "[]:80", "[::1]", "[::1:80", "::1]:80", "1.2.3:80", "1.2.3.4.5:80",
                           "unix:", "unix:a", "a..b:80", "a b:80", "ä:80"}) {
    EXPECT_FALSE(read_bind(text)) << text;
  }
  EXPECT_FALSE(read_bind("unix:/" + std::string(107, 'a')));
  EXPECT_TRUE(read_bind("unix:/" + std::string(106, 'a')));
}

TEST(RouteHost, IsLowerCaseWithoutPort) {
  EXPECT_EQ(*read_host("Example.ORG"), "example.org");
  EXPECT_EQ(*read_host("*"), "*");
  EXPECT_EQ(*read_host("*.a.b"), "*.a.b");
  EXPECT_EQ(*read_host("[::1]"), "[::1]");
  EXPECT_EQ(*read_host("a.example."), "a.example") << "the root's dot doesn't count";
  EXPECT_EQ(*read_host("*.example."), "*.example");
  for (const char* text : {"", "a:80", "a/b", "**.a", "a.*", "*a", "http://a", "[x]", ".", "a..", "::1", "[::1"})
    EXPECT_FALSE(read_host(text)) << text;
}

TEST(Signal, IsKnownWithAndWithoutItsPrefix) {
  EXPECT_EQ(*read_signal("TERM"), SIGTERM);
  EXPECT_EQ(*read_signal("SIGUSR1"), SIGUSR1);
  EXPECT_EQ(read_signal("sigint").error().hint, "did you mean 'INT'?");
  EXPECT_FALSE(read_signal("15"));
}

TEST(Umask, IsOctal) {
  EXPECT_EQ(*read_umask("022"), 022U);
  EXPECT_EQ(*read_umask("0777"), 0777U);
  for (const char* text : {"", "8", "1777", "0o22", "-1", "00022"}) EXPECT_FALSE(read_umask(text)) << text;
}

TEST(Suggest, KnowsSlipsOfTheHand) {
  const std::vector<std::string_view> names{"ports", "shutdown"};
  EXPECT_EQ(suggest("prots", names), "did you mean 'ports'?");
  EXPECT_EQ(suggest("shutdwn", names), "did you mean 'shutdown'?");
  EXPECT_EQ(suggest("xyz", names), "known: ports, shutdown");
  EXPECT_EQ(suggest("", {}), "known: ");
}

std::optional<std::string> lookup(std::string_view name) {
  if (name == "PORT") return "20001";
  return name == "EMPTY" ? std::optional<std::string>("") : std::nullopt;
}

TEST(Expand, FillsInNamesAndNothingElse) {
  EXPECT_EQ(*expand("--port=${PORT}", lookup), "--port=20001");
  EXPECT_EQ(*expand("${PORT}${PORT}", lookup), "2000120001");
  EXPECT_EQ(*expand("[${EMPTY}]", lookup), "[]");
  EXPECT_EQ(*expand("$$", lookup), "$");
  EXPECT_EQ(*expand("$${PORT}", lookup), "${PORT}");
  EXPECT_EQ(*expand("$$${PORT}", lookup), "$20001");
  EXPECT_EQ(*expand("$PORT 5$ a}b", lookup), "$PORT 5$ a}b");
  EXPECT_EQ(*expand("", lookup), "");
}

TEST(Expand, RefusesUnknownNamesAndBrokenForms) {
  for (const char* text : {"${X}", "${", "${PORT", "${}", "${PORT }", "${PORT:-1}", "${1A}", "${${PORT}}"})
    EXPECT_FALSE(expand(text, lookup)) << text;
}

TEST(Expand, DoesNotExpandWhatItFilledIn) {
  EXPECT_EQ(*expand("${A}", [](std::string_view) { return std::optional<std::string>("${A}"); }), "${A}");
}

TEST(NamesIn, ListsEachUse) {
  EXPECT_THAT(*names_in("${A}$$${B}${A}"), testing::ElementsAre("A", "B", "A"));
  EXPECT_FALSE(names_in("${"));
}

TEST(Utf8, FindsTheFirstBadByte) {
  EXPECT_EQ(first_bad_utf8("aü€😀"), std::string_view::npos);
  EXPECT_EQ(first_bad_utf8("a\xff"), 1U);
  EXPECT_EQ(first_bad_utf8("\xc0\x80"), 0U);
  EXPECT_EQ(first_bad_utf8("\xed\xa0\x80"), 0U);
  EXPECT_EQ(first_bad_utf8("ab\xe2\x82"), 2U);
  EXPECT_EQ(first_bad_utf8("\xf4\x90\x80\x80"), 0U);
}

TEST(Utf8, CountsColumnsInCharacters) {
  EXPECT_EQ(place_at("ab\nüc", 5), (Place{2, 2}));
  EXPECT_EQ(place_at("", 0), (Place{1, 1}));
}

}  // namespace
}  // namespace drover::config
