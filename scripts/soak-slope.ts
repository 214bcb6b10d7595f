/** The straight line through measurements, and how far to trust its slope. */

/** One measurement. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A line by least squares. */
export interface Line {
  /** y for each unit of x. */
  readonly slope: number;
  /** Half the width of the slope's 95 % interval, 1.96 standard errors; too narrow where neighbouring measurements resemble each other, as memory's do. */
  readonly slopeError: number;
  /** Share of y's variance that the line explains, 0 to 1; 0 where y does not vary. */
  readonly rSquared: number;
}

/** @param points three or more, not all of one x; else every member is NaN */
export function fitLine(points: readonly Point[]): Line {
  const count = points.length;
  const meanX = points.reduce((sum, { x }) => sum + x, 0) / count;
  const meanY = points.reduce((sum, { y }) => sum + y, 0) / count;
  const squaresX = points.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0);
  const squaresY = points.reduce((sum, { y }) => sum + (y - meanY) ** 2, 0);
  if (count < 3 || squaresX === 0) return { slope: NaN, slopeError: NaN, rSquared: NaN };
  const slope = points.reduce((sum, { x, y }) => sum + (x - meanX) * (y - meanY), 0) / squaresX;
  const residuals = points.reduce((sum, { x, y }) => sum + (y - meanY - slope * (x - meanX)) ** 2, 0);
  return { slope, slopeError: 1.96 * Math.sqrt(residuals / (count - 2) / squaresX), rSquared: squaresY === 0 ? 0 : 1 - residuals / squaresY };
}
