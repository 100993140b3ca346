// Requests that wait: answered once, by who was asked, in time.
#include "ipc/pending.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace drover::ipc {
namespace {

using base::Millis;

const base::TimePoint kStart{std::chrono::hours(10)};
const PeerId kOne{0, 1, 11};
const PeerId kTwo{0, 2, 12};
const PeerId kThree{1, 1, 13};

PendingRequest request(const PeerId& asker, const PeerId& answerer, boost::json::value id, Millis time = PendingRequests::kDefaultTime) {
  return {asker, answerer, std::move(id), kStart + time};
}

TEST(Pending, AnAnswer_FindsItsAskerOnceAndUnderHisOwnId) {
  PendingRequests pending;
  const std::string first = pending.add(request(kOne, kTwo, 7));
  const std::string second = pending.add(request(kOne, kTwo, "seven"));
  EXPECT_NE(first, second);
  EXPECT_TRUE(first.starts_with("d:")) << first;
  const auto got = pending.answered(boost::json::value(second), kTwo, kStart);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->id, "seven");
  EXPECT_EQ(got->asker, kOne);
  EXPECT_FALSE(pending.answered(boost::json::value(second), kTwo, kStart)) << "only once";
  EXPECT_EQ(pending.answered(boost::json::value(first), kTwo, kStart)->id, 7);
  EXPECT_EQ(pending.size(), 0U);
}

TEST(Pending, AnotherMayNotAnswer_NorAnotherLifeOfTheSameSlot) {
  PendingRequests pending;
  const boost::json::value id(pending.add(request(kOne, kTwo, 7)));
  EXPECT_FALSE(pending.answered(id, kThree, kStart));
  EXPECT_FALSE(pending.answered(id, kOne, kStart)) << "the asker himself";
  EXPECT_FALSE(pending.answered(id, PeerId{0, 2, 99}, kStart));
  EXPECT_TRUE(pending.answered(id, kTwo, kStart)) << "whom they did not disturb";
}

TEST(Pending, AnIdThatWasNeverGiven_FindsNothing) {
  PendingRequests pending;
  EXPECT_EQ(pending.add(request(kOne, kTwo, 7)), "d:1");
  const boost::json::value strange[] = {nullptr,
                                        1,
                                        "1",
                                        "d:",
                                        "d:01",
                                        "d:1 ",
                                        " d:1",
                                        "d:-1",
                                        "d:+1",
                                        "d:1x",
                                        "d:0",
                                        "d:2",
                                        "D:1",
                                        "d:18446744073709551617",
                                        boost::json::value(boost::json::string(1 << 20, '1')),
                                        boost::json::object{{"d:1", 1}},
                                        boost::json::array{"d:1"}};
  for (const auto& id : strange) EXPECT_FALSE(pending.answered(id, kTwo, kStart));
  EXPECT_TRUE(pending.answered("d:1", kTwo, kStart));
}

TEST(Pending, TimeOver_IsToldInOrderAndALateAnswerIsNone) {
  PendingRequests pending;
  const boost::json::value slow(pending.add(request(kOne, kTwo, "slow", Millis(300))));
  const boost::json::value quick(pending.add(request(kOne, kTwo, "quick", Millis(100))));
  EXPECT_EQ(pending.next_expiry(), kStart + Millis(100));
  EXPECT_TRUE(pending.expire(kStart + Millis(99)).empty());
  EXPECT_FALSE(pending.answered(quick, kTwo, kStart + Millis(100))) << "late";
  const auto first = pending.expire(kStart + Millis(100));
  ASSERT_EQ(first.size(), 1U) << "late or not, its asker is told";
  EXPECT_EQ(first[0].id, "quick");
  EXPECT_EQ(pending.next_expiry(), kStart + Millis(300));
  EXPECT_EQ(pending.expire(kStart + Millis(1000)).size(), 1U);
  EXPECT_FALSE(pending.next_expiry());
  EXPECT_FALSE(pending.answered(slow, kTwo, kStart));
  EXPECT_EQ(pending.size(), 0U);
}

TEST(Pending, WhoIsGone_IsNotWaitedForAndNotAnswered) {
  PendingRequests pending;
  pending.add(request(kOne, kTwo, 1));
  const boost::json::value other(pending.add(request(kOne, kThree, 2)));
  pending.add(request(kThree, kTwo, 3));
  const auto gone = pending.answerer_gone(kTwo);
  ASSERT_EQ(gone.size(), 2U);
  EXPECT_EQ(gone[0].id, 1);
  EXPECT_EQ(gone[1].asker, kThree);
  EXPECT_TRUE(pending.answerer_gone(kTwo).empty());
  pending.asker_gone(kOne);
  pending.asker_gone(kOne);
  EXPECT_FALSE(pending.answered(other, kThree, kStart));
  EXPECT_EQ(pending.size(), 0U);
  EXPECT_FALSE(pending.next_expiry());
}

TEST(Pending, OneWhoAsksTooMuch_IsRefused_OthersAreNot) {
  PendingRequests pending;
  const boost::json::value oldest(pending.add(request(kOne, kTwo, "oldest")));
  for (std::size_t i = 1; i < PendingRequests::kMostPerAsker; ++i) ASSERT_NE(pending.add(request(kOne, kTwo, i)), "");
  EXPECT_FALSE(pending.has_room(kOne));
  EXPECT_EQ(pending.add(request(kOne, kThree, "one more")), "");
  EXPECT_EQ(pending.size(), PendingRequests::kMostPerAsker);
  EXPECT_TRUE(pending.has_room(kTwo, PendingRequests::kMostPerAsker));
  EXPECT_FALSE(pending.has_room(kTwo, PendingRequests::kMostPerAsker + 1));
  EXPECT_TRUE(pending.has_room(PeerId{0, 0, 1}, PendingRequests::kMostPerAsker + 1)) << "an operator asks all of a pool";
  EXPECT_NE(pending.add(request(kTwo, kOne, "other's")), "");
  EXPECT_TRUE(pending.answered(oldest, kTwo, kStart)) << "none was forgotten";
  EXPECT_NE(pending.add(request(kOne, kTwo, "one more")), "");
}

TEST(Pending, AllTogether_AreBounded_AndTheirTimesEndPieceByPiece) {
  PendingRequests pending;
  for (std::uint64_t i = 0; i < 3 * PendingRequests::kMost; ++i) {
    const bool kept = !pending.add(request(PeerId{2, 1, i}, kTwo, i, Millis(1 + static_cast<std::int64_t>(i % 100)))).empty();
    ASSERT_EQ(kept, i < PendingRequests::kMost);
  }
  std::vector<PendingRequest> over;
  while (pending.next_expiry()) {
    auto some = pending.expire(kStart + Millis(100));
    ASSERT_FALSE(some.empty());
    ASSERT_LE(some.size(), PendingRequests::kExpiredAtOnce);
    over.insert(over.end(), some.begin(), some.end());
  }
  EXPECT_EQ(over.size(), PendingRequests::kMost);
  EXPECT_TRUE(std::ranges::is_sorted(over, {}, &PendingRequest::until));
}

}  // namespace
}  // namespace drover::ipc
