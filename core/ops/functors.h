// The functions of one element, value and derivative side by side, for every device: the one place where they are
// listed. A functor is a template over the device's `Math` (exp, log, sqrt, tanh of T), so that each device, and each
// instruction set of the CPU, gets its own code. No header of the standard library: loops are built with instructions
// that not every machine has, and must not leave such copies of its functions.
#pragma once

namespace synthesizer {

// In the order of the lists at the end.
enum class UnaryFunction {
  kAffine,  // scale·x + shift
  kRelu,
  kExp,
  kLog,
  kSqrt,
  kRsqrt,
  kSquare,
  kReciprocal,
  kSigmoid,
  kTanh,
  kIsFinite,  // 1 or 0; no gradient
};
enum class BinaryFunction { kAdd, kSubtract, kMultiply, kDivide, kMaximum, kMinimum };

}  // namespace synthesizer

namespace synthesizer::functors {

// y = f(x) and dx = dy · f'; f' is given the saved tensor: y where kUsesOutput, else x. Kinks: the derivative of relu
// at 0 is 0.
template <typename M>
struct Affine {  // the scale and shift are applied by value(); the derivative is the scale, applied by the same op
  static constexpr const char* kName = "affine";
  static constexpr bool kUsesOutput = false;
  template <typename T>
  static constexpr T value(T x, T scale, T shift) {
    return scale * x + shift;
  }
  template <typename T>
  static constexpr T derivative(T) {
    return T(1);
  }
};

template <typename M>
struct Relu {
  static constexpr const char* kName = "relu";
  static constexpr bool kUsesOutput = true;
  template <typename T>
  static constexpr T value(T x, T, T) {
    return x < T(0) ? T(0) : x;  // keeps NaN
  }
  template <typename T>
  static constexpr T derivative(T y) {
    return y > T(0) ? T(1) : T(0);
  }
};

template <typename M>
struct Exp {
  static constexpr const char* kName = "exp";
  static constexpr bool kUsesOutput = true;
  template <typename T>
  static constexpr T value(T x, T, T) {
    return M::exp(x);
  }
  template <typename T>
  static constexpr T derivative(T y) {
    return y;
  }
};

template <typename M>
struct Log {
  static constexpr const char* kName = "log";
  static constexpr bool kUsesOutput = false;
  template <typename T>
  static constexpr T value(T x, T, T) {
    return M::log(x);
  }
  template <typename T>
  static constexpr T derivative(T x) {
    return T(1) / x;
  }
};

template <typename M>
struct Sqrt {
  static constexpr const char* kName = "sqrt";
  static constexpr bool kUsesOutput = true;
  template <typename T>
  static constexpr T value(T x, T, T) {
    return M::sqrt(x);
  }
  template <typename T>
  static constexpr T derivative(T y) {
    return T(0.5) / y;
  }
};

template <typename M>
struct Rsqrt {
  static constexpr const char* kName = "rsqrt";
  static constexpr bool kUsesOutput = true;
  template <typename T>
  static constexpr T value(T x, T, T) {
    return T(1) / M::sqrt(x);
  }
  template <typename T>
  static constexpr T derivative(T y) {
    return T(-0.5) * y * y * y;
  }
};

template <typename M>
struct Square {
  static constexpr const char* kName = "square";
  static constexpr bool kUsesOutput = false;
  template <typename T>
  static constexpr T value(T x, T, T) {
    return x * x;
  }
  template <typename T>
  static constexpr T derivative(T x) {
    return T(2) * x;
  }
};

template <typename M>
struct Reciprocal {
  static constexpr const char* kName = "reciprocal";
  static constexpr bool kUsesOutput = true;
  template <typename T>
  static constexpr T value(T x, T, T) {
    return T(1) / x;
  }
  template <typename T>
  static constexpr T derivative(T y) {
    return -y * y;
  }
};

template <typename M>
struct Sigmoid {
  static constexpr const char* kName = "sigmoid";
  static constexpr bool kUsesOutput = true;
  template <typename T>
  static constexpr T value(T x, T, T) {
    return T(1) / (T(1) + M::exp(-x));
  }
  template <typename T>
  static constexpr T derivative(T y) {
    return y * (T(1) - y);
  }
};

template <typename M>
struct Tanh {
  static constexpr const char* kName = "tanh";
  static constexpr bool kUsesOutput = true;
  template <typename T>
  static constexpr T value(T x, T, T) {
    return M::tanh(x);
  }
  template <typename T>
  static constexpr T derivative(T y) {
    return T(1) - y * y;
  }
};

template <typename M>
struct IsFinite {
  static constexpr const char* kName = "is_finite";
  static constexpr bool kUsesOutput = false;
  template <typename T>
  static constexpr T value(T x, T, T) {
    return x - x == T(0) ? T(1) : T(0);
  }
  template <typename T>
  static constexpr T derivative(T) {
    return T(0);
  }
};

template <typename M>
struct Add {
  static constexpr const char* kName = "add";
  template <typename T>
  static constexpr T value(T a, T b) {
    return a + b;
  }
};
template <typename M>
struct Subtract {
  static constexpr const char* kName = "subtract";
  template <typename T>
  static constexpr T value(T a, T b) {
    return a - b;
  }
};
template <typename M>
struct Multiply {
  static constexpr const char* kName = "multiply";
  template <typename T>
  static constexpr T value(T a, T b) {
    return a * b;
  }
};
template <typename M>
struct Divide {
  static constexpr const char* kName = "divide";
  template <typename T>
  static constexpr T value(T a, T b) {
    return a / b;
  }
};
template <typename M>
struct Maximum {  // NaN if either is
  static constexpr const char* kName = "maximum";
  template <typename T>
  static constexpr T value(T a, T b) {
    return a > b || a != a ? a : b;
  }
};
template <typename M>
struct Minimum {
  static constexpr const char* kName = "minimum";
  template <typename T>
  static constexpr T value(T a, T b) {
    return a < b || a != a ? a : b;
  }
};

// Calls visit.template operator()<Functor>() for each, in the order of the enums.
template <typename M, typename Visitor>
constexpr void each_unary(Visitor visit) {
  visit.template operator()<Affine<M>>();
  visit.template operator()<Relu<M>>();
  visit.template operator()<Exp<M>>();
  visit.template operator()<Log<M>>();
  visit.template operator()<Sqrt<M>>();
  visit.template operator()<Rsqrt<M>>();
  visit.template operator()<Square<M>>();
  visit.template operator()<Reciprocal<M>>();
  visit.template operator()<Sigmoid<M>>();
  visit.template operator()<Tanh<M>>();
  visit.template operator()<IsFinite<M>>();
}
template <typename M, typename Visitor>
constexpr void each_binary(Visitor visit) {
  visit.template operator()<Add<M>>();
  visit.template operator()<Subtract<M>>();
  visit.template operator()<Multiply<M>>();
  visit.template operator()<Divide<M>>();
  visit.template operator()<Maximum<M>>();
  visit.template operator()<Minimum<M>>();
}

struct NoMath {};  // for what is to be known of the functors besides their code
inline constexpr int kUnaryFunctions = [] {
  int count = 0;
  each_unary<NoMath>([&]<typename F>() { ++count; });
  return count;
}();
inline constexpr int kBinaryFunctions = [] {
  int count = 0;
  each_binary<NoMath>([&]<typename F>() { ++count; });
  return count;
}();

}  // namespace synthesizer::functors
