// Small matrices in the order in which they are multiplied, and their product.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>

#include "block.h"

namespace sg {

#if defined(__AVX512F__)
constexpr int kRegisters = 32, kPanelBlocks = 2;
#elif defined(__aarch64__)
constexpr int kRegisters = 32, kPanelBlocks = 1;
#else
constexpr int kRegisters = 16, kPanelBlocks = 1;
#endif
constexpr int kPanel = kPanelBlocks * kLanes;  // columns that lie side by side in memory

// Rows that are summed in registers together, three quarters of them.
template <class T>
constexpr int kSumRows = kRegisters * 3 / 4 / (Block<T>::kParts * kPanelBlocks);

inline int64_t divide_up(int64_t n, int64_t step) { return (n + step - 1) / step; }
inline int64_t round_up(int64_t n, int64_t step) { return divide_up(n, step) * step; }

// Uninitialised numbers, aligned to lines of the cache.
template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t size) : data_(new (kAlignment) T[size]) {}
  T* get() const { return data_.get(); }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Delete {
    void operator()(T* data) { ::operator delete[](data, kAlignment); }
  };
  std::unique_ptr<T[], Delete> data_;
};

// `count` matrices [rows, columns] of numbers of their own. They are apart by an odd number of cache lines: the same
// place in all of them, written one after the other, must not fall into one set of the cache.
template <class T>
class Matrices {
 public:
  Matrices(int64_t count, int64_t rows, int64_t columns)
      : rows_(rows), columns_(columns), step_((rows * columns / kLine | 1) * kLine + 2 * kLine), data_(count * step_) {}
  int64_t rows() const { return rows_; }
  int64_t step() const { return step_; }  // from matrix to matrix

 protected:
  static constexpr int64_t kLine = 64 / sizeof(T);
  int64_t rows_, columns_, step_;
  Scratch<T> data_;
};

// In blocks of kSumRows rows by kLanes columns, [block of rows][block of columns][row][column]: a pass through a block of
// rows reads memory in order, and so does one through a block of columns but for a jump from block to block.
template <class T>
class Rows : public Matrices<T> {
 public:
  static constexpr int kHeight = kSumRows<T>;
  Rows(int64_t count, int64_t rows, int64_t columns)
      : Matrices<T>(count, round_up(rows, kHeight), round_up(columns, kLanes)) {}
  int64_t width() const { return this->columns_; }
  T* at(int64_t matrix, int64_t row, int64_t column) const {
    return this->data_.get() + matrix * this->step_ + row / kHeight * kHeight * this->columns_ +
           (column / kLanes * kHeight + row % kHeight) * kLanes + column % kLanes;
  }
};

// As panels [panel][row][kPanel].
template <class T>
class Panels : public Matrices<T> {
 public:
  Panels(int64_t count, int64_t rows, int64_t columns) : Matrices<T>(count, rows, round_up(columns, kPanel)) {}
  int64_t width() const { return this->columns_; }
  T* at(int64_t matrix, int64_t row, int64_t column) const {
    const int64_t panel = column / kPanel;
    return this->data_.get() + matrix * this->step_ + (panel * this->rows_ + row) * kPanel + column % kPanel;
  }
};

// How multiply_panel goes through its left matrix: from row to row, and from column to column in groups.
template <class T>
struct AlongRows {  // of a block of rows
  static constexpr int kCount = kSumRows<T>, kRow = kLanes, kStep = 1, kGroup = kLanes;
};
template <class T>
struct AlongColumns {  // of a part of a block of columns, which are taken as rows
  static constexpr int kCount = kSumRows<T> >= 8 ? 8 : kSumRows<T> >= 4 ? 4 : 2;  // divides kLanes
  static constexpr int kRow = 1, kStep = kLanes, kGroup = kSumRows<T>;
};

// c[r][·] (+)= Σ_k a[r][k] · b[k][·] for k < steps, some rows of one panel. Groups of columns of `a` are `jump` apart. What
// is at next_a and next_b is fetched meanwhile.
template <class Order, class T>
inline void multiply_panel(const T* a, int64_t jump, const T* next_a, const T* b, const T* next_b, int64_t steps, T* c,
                           bool adds) {
  constexpr int kRows = Order::kCount;
  Block<T> sum[kRows][kPanelBlocks];
#pragma GCC unroll 32
  for (int r = 0; r < kRows; r++) {
#pragma GCC unroll 4
    for (int j = 0; j < kPanelBlocks; j++) sum[r][j] = adds ? load<T>(c + r * kPanel + j * kLanes) : splat(T(0));
  }
  for (int64_t group = 0; group < steps; group += Order::kGroup, a += jump) {
    const T* left = a;
    const int64_t count = std::min<int64_t>(Order::kGroup, steps - group);
    for (int64_t k = 0; k < count; k++, left += Order::kStep) {
      Block<T> right[kPanelBlocks];
      __builtin_prefetch(next_a);
      for (int j = 0; j < kPanelBlocks; j++) {
        right[j] = load<T>(b + j * kLanes);
        __builtin_prefetch(next_b + j * kLanes);
      }
      next_a += kRows, b += kPanel, next_b += kPanel;
#pragma GCC unroll 32
      for (int r = 0; r < kRows; r++) {
        for (int j = 0; j < kPanelBlocks; j++) multiply_add(sum[r][j], left[r * Order::kRow], right[j]);
      }
    }
  }
#pragma GCC unroll 32
  for (int r = 0; r < kRows; r++) {
#pragma GCC unroll 4
    for (int j = 0; j < kPanelBlocks; j++) store(c + r * kPanel + j * kLanes, sum[r][j]);
  }
}

}  // namespace sg
