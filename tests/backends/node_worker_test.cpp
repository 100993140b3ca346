// Node's internal protocol, the primary's part: raw messages in, lines and questions out; and what a hostile worker may write.
#include "backends/node_worker.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

namespace drover::backends {
namespace {

namespace json = boost::json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

class NodeWorkerTest : public ::testing::Test {
 protected:
  NodeWorker make(NodeWorker::Mode mode = NodeWorker::Mode::cluster) {
    return NodeWorker(mode, data,
                      {.send = [this](std::string line) { lines.push_back(json::parse(line).as_object()); },
                       .pass =
                           [this](std::string line, base::UniqueFd descriptor) {
                             EXPECT_TRUE(descriptor);
                             passed.push_back(json::parse(line).as_object());
                           },
                       .settled = [this] { ++settled; },
                       .asked =
                           [this](const ListenQuery& query) {
                             asked.push_back(query);
                             ListenAnswer out;
                             out.connections = connections;
                             out.port = port;
                             out.error = error;
                             if (!connections && error == 0) out.socket = file();
                             return out;
                           },
                       .listening = [this](const ListenQuery& query, std::uint16_t at) { listening.emplace_back(query.key(), at); },
                       .closed = [this](const ListenQuery& query) { closed.push_back(query.key()); },
                       .leaving = [this] { lines_at_leaving.push_back(lines.size()); },
                       .passed = [this] { ++handles; },
                       .connection = [this](std::uint64_t number, bool accepted) { answers.emplace_back(number, accepted); }});
  }
  static base::UniqueFd file() { return base::UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }
  static json::object parse(const std::string& text) { return json::parse(text).as_object(); }
  void hear(const std::string& text) { worker.heard(parse(text)); }
  void hear_cluster(const std::string& members) { hear(R"({"cmd":"NODE_CLUSTER",)" + members + "}"); }
  void query(int seq = 1, const std::string& members = R"("address":null,"port":3000,"addressType":4)", int index = 0,
             const std::string& own = "null") {
    hear_cluster(R"("act":"queryServer","index":)" + std::to_string(index) + R"(,"data":)" + own + "," + members + R"(,"backlog":0,"seq":)" +
                 std::to_string(seq));
  }

  NodeServerData data;
  std::vector<json::object> lines;
  std::vector<json::object> passed;
  std::vector<ListenQuery> asked;
  std::vector<std::pair<std::string, std::uint16_t>> listening;
  std::vector<std::string> closed;
  std::vector<std::pair<std::uint64_t, bool>> answers;
  std::vector<std::size_t> lines_at_leaving;
  int settled = 0;
  int handles = 0;
  bool connections = false;
  std::uint16_t port = 3000;
  int error = 0;
  NodeWorker worker = make();
};

TEST_F(NodeWorkerTest, OnlineIsNotAnswered) {
  hear_cluster(R"("act":"online","seq":0)");
  EXPECT_THAT(lines, IsEmpty());
}

TEST_F(NodeWorkerTest, AServerGetsItsSocketUnderAKeyWithTheQuerysNumber) {
  query(7);
  ASSERT_THAT(passed, SizeIs(1));
  EXPECT_EQ(passed[0], parse(R"({"cmd":"NODE_HANDLE","type":"net.Native",
    "msg":{"cmd":"NODE_CLUSTER","ack":7,"key":":3000:4:-1:0","data":null,"errno":0}})"));
  EXPECT_EQ(asked[0].port, 3000);
  EXPECT_FALSE(asked[0].ipv6);
}

TEST_F(NodeWorkerTest, ADatagramSocketIsPassedAsOne) {
  query(1, R"("address":"0.0.0.0","port":5353,"addressType":"udp4","fd":-1,"flags":4)");
  ASSERT_THAT(passed, SizeIs(1));
  EXPECT_EQ(passed[0].at("type"), "dgram.Native");
  EXPECT_EQ(asked[0].what, ListenQuery::What::udp);
  EXPECT_EQ(asked[0].flags, 4U);
}

TEST_F(NodeWorkerTest, AUnixPathIsReadAsOne) {
  query(1, R"("address":"/run/app.sock","port":-1,"addressType":-1)");
  ASSERT_THAT(asked, SizeIs(1));
  EXPECT_EQ(asked[0].what, ListenQuery::What::unix_path);
  EXPECT_EQ(asked[0].address, "/run/app.sock");
}

TEST_F(NodeWorkerTest, OneByOneItIsToldTheAddressInTheFamilyItAskedFor) {
  connections = true;
  query();
  query(2, R"("address":"::","port":3001,"addressType":6,"flags":0)");
  port = 4000;
  query(3, R"("address":"127.0.0.1","port":0,"addressType":4)");
  ASSERT_THAT(lines, SizeIs(3));
  EXPECT_EQ(lines[0].at("sockname"), parse(R"({"address":"0.0.0.0","family":"IPv4","port":3000})"));
  EXPECT_EQ(lines[1].at("sockname"), parse(R"({"address":"::","family":"IPv6","port":3000})"));
  EXPECT_EQ(lines[2].at("sockname"), parse(R"({"address":"127.0.0.1","family":"IPv4","port":4000})"));
  EXPECT_FALSE(lines[0].contains("errno"));
  EXPECT_THAT(passed, IsEmpty());
}

TEST_F(NodeWorkerTest, AUnixServerThatGetsConnectionsHasNoSockname) {
  connections = true;
  query(1, R"("address":"/run/app.sock","port":-1,"addressType":-1)");
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_FALSE(lines[0].contains("sockname"));
}

TEST_F(NodeWorkerTest, DataOfTheFirstWorkerGoesToAll) {
  connections = true;
  query(1, R"("address":null,"port":443,"addressType":4)", 0, R"({"ticketKeys":"aa"})");
  NodeWorker second = make();
  second.heard(
      parse(R"({"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":{"ticketKeys":"bb"},"address":null,"port":443,"addressType":4,"seq":1})"));
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_EQ(lines[0].at("data"), parse(R"({"ticketKeys":"aa"})"));
  EXPECT_EQ(lines[1].at("data"), parse(R"({"ticketKeys":"aa"})"));
}

TEST_F(NodeWorkerTest, DataThatIsTooLargeToKeepGoesBackToItsSender) {
  connections = true;
  const std::string large = "\"" + std::string(NodeServerData::kBytesMost, 'x') + "\"";
  query(1, R"("address":null,"port":443,"addressType":4)", 0, large);
  NodeWorker second = make();
  second.heard(parse(R"({"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":"own","address":null,"port":443,"addressType":4,"seq":1})"));
  EXPECT_EQ(lines[0].at("data").as_string().size(), NodeServerData::kBytesMost);
  EXPECT_EQ(lines[1].at("data"), "own");
}

TEST_F(NodeWorkerTest, ServerDataIsBoundedInNumber) {
  for (std::size_t i = 0; i < NodeServerData::kMost; ++i) data.shared("key" + std::to_string(i), i);
  EXPECT_EQ(data.shared("one more", "a"), "a");
  EXPECT_EQ(data.shared("one more", "b"), "b");
  EXPECT_EQ(data.shared("key0", "b"), 0U);
}

TEST_F(NodeWorkerTest, ARefusalIsANegativeErrnoAndEchoesTheData) {
  error = EADDRINUSE;
  query(4, R"("address":null,"port":443,"addressType":4)", 0, R"({"ticketKeys":"aa"})");
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(lines[0], parse(R"({"cmd":"NODE_CLUSTER","ack":4,"key":":443:4:-1:0","errno":-98,"data":{"ticketKeys":"aa"}})"));
  EXPECT_THAT(worker.servers(), IsEmpty());
}

TEST_F(NodeWorkerTest, NoKeyIsGivenTwiceUntilItIsClosed) {
  query(1);
  query(2);
  EXPECT_THAT(asked, SizeIs(1));
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(lines[0].at("errno"), -EADDRINUSE);
  query(3, R"("address":null,"port":3000,"addressType":4)", 1);
  EXPECT_THAT(asked, SizeIs(2));
  hear_cluster(R"("act":"close","key":":3000:4:-1:0","seq":4)");
  EXPECT_THAT(closed, ElementsAre(":3000:4:-1:0"));
  query(5);
  EXPECT_THAT(asked, SizeIs(3));
}

TEST_F(NodeWorkerTest, ServersAreBounded) {
  for (std::size_t i = 0; i <= NodeWorker::kMostServers; ++i) query(1, R"("address":null,"port":0,"addressType":4)", static_cast<int>(i));
  EXPECT_THAT(asked, SizeIs(NodeWorker::kMostServers));
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(lines[0].at("errno"), -EMFILE);
}

TEST_F(NodeWorkerTest, DescriptorsThatAreNeverAcknowledgedAreBounded) {
  for (std::size_t i = 0; i <= NodeWorker::kMostServers; ++i) {
    query();
    hear_cluster(R"("act":"close","key":":3000:4:-1:0")");
  }
  EXPECT_THAT(asked, SizeIs(NodeWorker::kMostServers));
}

TEST_F(NodeWorkerTest, ListeningIsToldWithTheRealPort) {
  query();
  query(2, R"("address":null,"port":0,"addressType":4)");
  hear_cluster(R"("act":"listening","index":0,"data":null,"address":null,"port":3000,"addressType":4,"backlog":0,"seq":3)");
  hear_cluster(R"("act":"listening","index":0,"data":null,"address":null,"port":43210,"addressType":4,"backlog":0,"seq":4)");
  hear_cluster(R"("act":"listening","index":9,"data":null,"address":null,"port":1,"addressType":4,"backlog":0,"seq":5)");
  EXPECT_THAT(listening, ElementsAre(Pair(":3000:4:-1:0", 3000), Pair(":0:4:-1:0", 43210)));
}

TEST_F(NodeWorkerTest, ItsOwnLeaveIsKnownBeforeItIsAcknowledgedAndOnlyOnce) {
  hear_cluster(R"("act":"exitedAfterDisconnect","seq":5)");
  EXPECT_THAT(lines_at_leaving, ElementsAre(0U));
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(lines[0], parse(R"({"cmd":"NODE_CLUSTER","ack":5})"));
  hear_cluster(R"("act":"exitedAfterDisconnect","seq":6)");
  EXPECT_THAT(lines, SizeIs(2));
  EXPECT_THAT(lines_at_leaving, SizeIs(1));
}

TEST_F(NodeWorkerTest, AWorkerThatLeavesGetsNoServer) {
  worker.disconnect();
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(lines[0], parse(R"({"cmd":"NODE_CLUSTER","act":"disconnect"})"));
  query();
  EXPECT_THAT(asked, IsEmpty());
  EXPECT_THAT(lines, SizeIs(1));
}

TEST_F(NodeWorkerTest, AConnectionIsHandedOverAndAnsweredOnce) {
  const auto number = worker.hand_over(":3000:4:-1:0", file());
  ASSERT_THAT(passed, SizeIs(1));
  EXPECT_EQ(passed[0], parse(R"({"cmd":"NODE_HANDLE","type":"net.Native",
    "msg":{"cmd":"NODE_CLUSTER","act":"newconn","key":":3000:4:-1:0","seq":1}})"));
  hear(R"({"cmd":"NODE_HANDLE_ACK"})");
  EXPECT_EQ(settled, 1);
  EXPECT_THAT(answers, IsEmpty());
  hear_cluster(R"("ack":1,"accepted":true,"seq":8)");
  hear_cluster(R"("ack":1,"accepted":false,"seq":9)");
  EXPECT_THAT(answers, ElementsAre(Pair(number, true)));
  const auto next = worker.hand_over(":3000:4:-1:0", file());
  EXPECT_NE(next, number);
  hear(R"({"cmd":"NODE_HANDLE_ACK"})");
  hear_cluster(R"("ack":2,"accepted":false,"seq":10)");
  EXPECT_THAT(answers, ElementsAre(Pair(number, true), Pair(next, false)));
}

TEST_F(NodeWorkerTest, ADescriptorThatDidNotArriveIsNotLost) {
  const auto number = worker.hand_over("k", file());
  hear(R"({"cmd":"NODE_HANDLE_NACK"})");
  EXPECT_EQ(settled, 1);
  EXPECT_THAT(answers, ElementsAre(Pair(number, false)));
  query(6);
  hear(R"({"cmd":"NODE_HANDLE_NACK"})");
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(lines[0].at("errno"), -EMFILE);
  EXPECT_EQ(lines[0].at("ack"), 6);
  EXPECT_THAT(closed, SizeIs(1));
  EXPECT_THAT(worker.servers(), IsEmpty());
}

TEST_F(NodeWorkerTest, AcknowledgementsThatNobodyWaitsForAreNothing) {
  hear(R"({"cmd":"NODE_HANDLE_ACK"})");
  hear(R"({"cmd":"NODE_HANDLE_NACK"})");
  hear_cluster(R"("ack":1,"accepted":true)");
  EXPECT_EQ(settled, 0);
  EXPECT_THAT(answers, IsEmpty());
}

TEST_F(NodeWorkerTest, AHandleThatTheWorkerPassesIsAcknowledgedAndRefused) {
  for (const auto mode : {NodeWorker::Mode::cluster, NodeWorker::Mode::fork}) {
    NodeWorker one = make(mode);
    one.heard(parse(R"({"cmd":"NODE_HANDLE","type":"net.Server","msg":{"hello":1}})"));
    EXPECT_EQ(lines.back(), parse(R"({"cmd":"NODE_HANDLE_ACK"})"));
  }
  EXPECT_EQ(handles, 2);
}

TEST_F(NodeWorkerTest, AForkChildSpeaksNoClusterProtocol) {
  NodeWorker child = make(NodeWorker::Mode::fork);
  child.heard(parse(R"({"cmd":"NODE_CLUSTER","act":"queryServer","address":null,"port":3000,"addressType":4,"seq":1})"));
  child.heard(parse(R"({"cmd":"NODE_CLUSTER","act":"exitedAfterDisconnect","seq":1})"));
  child.disconnect();
  EXPECT_THAT(asked, IsEmpty());
  EXPECT_THAT(lines, IsEmpty());
  EXPECT_THAT(lines_at_leaving, IsEmpty());
}

class HostileNodeWorkerTest : public NodeWorkerTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(HostileNodeWorkerTest, GetsNoServerAndHarmsNobody) {
  hear(GetParam());
  EXPECT_THAT(asked, IsEmpty());
  EXPECT_THAT(passed, IsEmpty());
  EXPECT_THAT(listening, IsEmpty());
  EXPECT_THAT(closed, IsEmpty());
  for (const json::object& line : lines) EXPECT_LT(line.at("errno").to_number<int>(), 0);
}

INSTANTIATE_TEST_SUITE_P(Messages, HostileNodeWorkerTest,
                         ::testing::Values(R"({})", R"({"cmd":7})", R"({"cmd":"NODE_"})", R"({"cmd":"NODE_CLUSTER"})",
                                           R"({"cmd":"NODE_CLUSTER","act":["queryServer"]})",
                                           R"({"cmd":"NODE_CLUSTER","act":"queryServer"})",                     // nothing could take the answer
                                           R"({"cmd":"NODE_CLUSTER","act":"queryServer","port":1,"seq":"1"})",  //
                                           R"({"cmd":"NODE_CLUSTER","act":"queryServer","addressType":4,"port":65536,"seq":1})",
                                           R"({"cmd":"NODE_CLUSTER","act":"queryServer","addressType":4,"port":-2,"seq":1})",
                                           R"({"cmd":"NODE_CLUSTER","act":"queryServer","addressType":4,"port":80.5,"seq":1})",
                                           R"({"cmd":"NODE_CLUSTER","act":"queryServer","addressType":4,"port":1e300,"seq":1})",
                                           R"({"cmd":"NODE_CLUSTER","act":"queryServer","addressType":4,"port":"80","seq":1})",
                                           R"({"cmd":"NODE_CLUSTER","act":"queryServer","addressType":5,"port":80,"seq":1})",
                                           R"({"cmd":"NODE_CLUSTER","act":"queryServer","addressType":"udp9","port":80,"seq":1})",
                                           R"({"cmd":"NODE_CLUSTER","act":"queryServer","addressType":-1,"port":-1,"seq":1})",  // a path that is none
                                           R"({"cmd":"NODE_CLUSTER","act":"queryServer","addressType":-1,"address":"a\u0000b","seq":1})",
                                           R"({"cmd":"NODE_CLUSTER","act":"listening","port":3000,"addressType":4})",
                                           R"({"cmd":"NODE_CLUSTER","act":"listening"})", R"({"cmd":"NODE_CLUSTER","act":"close"})",
                                           R"({"cmd":"NODE_CLUSTER","act":"close","key":3})",
                                           R"({"cmd":"NODE_CLUSTER","act":"close","key":"nobody's"})", R"({"cmd":"NODE_CLUSTER","ack":null})",
                                           R"({"cmd":"NODE_CLUSTER","ack":-1,"accepted":true})", R"({"cmd":"NODE_CLUSTER","ack":1e18})",
                                           R"({"cmd":"NODE_DEBUG_ENABLED"})"));

TEST_F(NodeWorkerTest, AnAddressThatIsTooLongIsRefused) {
  query(1, R"("address":")" + std::string(10'000, 'a') + R"(","port":3000,"addressType":4)");
  EXPECT_THAT(asked, IsEmpty());
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(lines[0].at("errno"), -EINVAL);
}

}  // namespace
}  // namespace drover::backends
